"""What is asked for, as frozen data that can be stored, compared and digested.

Each spec holds all that decides its result, so its digest (the recipe) finds what was made
before. Nested: a build names its export, a measurement names its build.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from db.enums import Precision, WeightsKind
from engine.digests import data_digest

ExportFormat = Literal["onnx", "torchscript"]
ExportRoute = Literal["torch", "paddle2onnx"]
CALIBRATION_IMAGES = 300
PERCENTILE = 99.999
FLOAT_SHARE = 0.1
SEARCH_S = 1800.0
SHARD_IMAGES = 1024


class CalibrationMode(StrEnum):
    """How an int8 range is taken from the values seen; `max` keeps them all."""

    MAX = "max"
    PERCENTILE = "percentile"
    KL_DIVERGENCE = "kl_divergence"
    MSE = "mse"


class Spec(BaseModel):
    """Base: immutable, no unknown keys, identified by the digest of its JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> dict[str, Any]:
        """Plain data, as stored in a job row."""
        return self.model_dump(mode="json")

    def recipe(self) -> str:
        """SHA-256 of the canonical JSON."""
        return data_digest(self.to_json())


class WeightsSpec(Spec):
    """Which weights: pretrained by the catalogue's tag, a file (by its digest), or random.

    Pretrained ones have a digest here where they are a file registered by hand.
    """

    kind: WeightsKind = WeightsKind.PRETRAINED
    path: str | None = None
    sha256: str | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _file_is_named(self) -> WeightsSpec:
        if (self.kind == WeightsKind.FILE) != bool(self.path):
            raise ValueError("A path belongs to weights of kind 'file', and to no other kind.")
        return self

    def recipe(self) -> str:
        """For a file its bytes count, not where it lies."""
        return data_digest({**self.to_json(), "path": None})


class ExportSpec(Spec):
    """A model with its weights, exported to one file.

    `preprocess` overrides the model's own protocol; `background` names the output that is no
    class of the dataset (0 for networks with a background class first); only for ONNX files.
    `via` is who converts: torch, or paddle2onnx from a Paddle inference model.
    """

    model_id: str
    weights: WeightsSpec = WeightsSpec()
    preprocess: dict[str, Any] | None = None
    background: int | None = None
    format: ExportFormat = "onnx"
    via: ExportRoute = "torch"

    @model_validator(mode="after")
    def _paddle2onnx_writes_onnx(self) -> ExportSpec:
        if self.via == "paddle2onnx" and self.format != "onnx":
            raise ValueError("paddle2onnx writes ONNX only; TorchScript is exported via torch.")
        return self

    def recipe(self) -> str:
        """As the base, but independent of where a weights file lies.

        The usual format and route are left out, so that a digest means what it meant before
        there was a choice.
        """
        usual = {key for key, value in _USUAL.items() if getattr(self, key) == value}
        plain = {key: value for key, value in self.to_json().items() if key not in usual}
        return data_digest({**plain, "weights": self.weights.recipe()})


_USUAL = {"format": "onnx", "via": "torch"}


class CalibrationSpec(Spec):
    """The images that int8 ranges are taken from: drawn by class, seeded."""

    dataset: str
    images: int = Field(CALIBRATION_IMAGES, ge=1, le=50_000)
    seed: int = 0
    mode: CalibrationMode = CalibrationMode.MSE
    percentile: float = Field(PERCENTILE, gt=50, le=100, description="of mode percentile only")
    keep_in_float: tuple[int, ...] = Field(
        (), description="convolutions left in float, by index in graph order from 0"
    )
    float_share: float = Field(
        FLOAT_SHARE, ge=0, le=1, description="of the convolutions' work that may stay in float"
    )
    max_drop: float | None = Field(
        None, gt=0, le=100, description="points of top-1 that int8 may lose against fp32"
    )
    search_s: float = Field(SEARCH_S, gt=0, description="longest search for max_drop")


_USUAL_CALIBRATION = {
    "keep_in_float": (),
    "float_share": FLOAT_SHARE,
    "max_drop": None,
    "search_s": SEARCH_S,
}


class BuildSpec(Spec):
    """An export at one precision; `softmax` appends one, so that the scores are probabilities."""

    export: ExportSpec
    precision: Precision
    calibration: CalibrationSpec | None = None
    softmax: bool = False

    @model_validator(mode="after")
    def _int8_is_calibrated(self) -> BuildSpec:
        if (self.precision == Precision.INT8) != (self.calibration is not None):
            raise ValueError("int8 needs a calibration dataset; other precisions take none.")
        return self

    @model_validator(mode="after")
    def _starts_from_onnx(self) -> BuildSpec:
        if self.export.format != "onnx":
            raise ValueError("Builds start from an ONNX export, not from TorchScript.")
        return self

    def recipe(self) -> str:
        """As the base, with the export by its own recipe; what is not asked for is left out."""
        plain = {**self.to_json(), "export": self.export.recipe()}
        if not self.softmax:
            plain.pop("softmax")
        for name, usual in _USUAL_CALIBRATION.items():
            if self.calibration and getattr(self.calibration, name) == usual:
                plain["calibration"].pop(name)
        return data_digest(plain)


class BenchmarkSpec(Spec):
    """How a build's speed is measured. Either `build` (a recipe) or `artifact` (a digest)."""

    build: BuildSpec | None = None
    artifact: str | None = None
    batch: int = Field(1, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=1024, description="0: all usable cores")
    instances: int = Field(1, ge=1, le=256, description="requests in flight in each process")
    processes: int = Field(1, ge=1, le=64)
    least_samples: int = Field(0, ge=0, description="images each process does at least")
    provider: str = "CPUExecutionProvider"
    window_s: float = Field(1.0, gt=0)
    max_s: float = Field(30.0, gt=0)
    tolerance: float = Field(0.05, gt=0, lt=1)


class EvaluateSpec(Spec):
    """How a build's accuracy is measured. Either `build` (a recipe) or `artifact` (a digest)."""

    build: BuildSpec | None = None
    artifact: str | None = None
    dataset: str
    preprocess: dict[str, Any] | None = None
    limit: int | None = Field(None, ge=1)
    batch: int = Field(16, ge=1, le=1024)
    provider: str = "CPUExecutionProvider"
    start: int | None = None
    stop: int | None = None


class ExcitationsSpec(Spec):
    """The mean excitations of one fp32 artifact (a digest) over images of a dataset."""

    artifact: str
    dataset: str
    dataset_digest: str
    images: int = Field(256, ge=1, le=50_000)


class DatasetSpec(Spec):
    """A folder to register under a name; a `builtin` set is drawn by the workbench itself."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    root: str | None = None
    labels: str | None = None
    unlabelled: bool = False
    builtin: bool = False
    calibration_images: int | None = Field(
        None, ge=1, le=50_000, description="draw so many images to calibrate on, from any folder"
    )
    suffix: str = Field("", description="of those images, without a dot; any if empty")


def absolute(path: str | Path) -> str:
    """A user's path made absolute, with ~ and .. resolved."""
    return str(Path(path).expanduser().resolve())


def shard_ranges(images: int, batch: int) -> list[tuple[int, int]]:
    """(start, stop) of shards of about SHARD_IMAGES images that begin at multiples of `batch`."""
    size = -(-SHARD_IMAGES // batch) * batch
    return [(start, min(start + size, images)) for start in range(0, images, size)]
