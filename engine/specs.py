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
WINDOW_S = 1.0
SEARCH_TIMES = 4
"""Of the longest time of a benchmark: scenario server without a rate searches for so long."""
CPU_PROVIDER = "CPUExecutionProvider"


class CalibrationMode(StrEnum):
    """How an int8 range is taken from the values seen; `max` keeps them all."""

    MAX = "max"
    PERCENTILE = "percentile"
    KL_DIVERGENCE = "kl_divergence"
    MSE = "mse"


class Scenario(StrEnum):
    """How requests come: the next after the last, or as in a scenario of MLPerf Inference."""

    CLOSED_LOOP = "closed-loop"
    SINGLE_STREAM = "single-stream"
    OFFLINE = "offline"
    SERVER = "server"


class TargetName(StrEnum):
    """What int8 is made for; `auto` goes by the processor's instruction set and the provider."""

    AUTO = "auto"
    X86_VNNI = "x86-vnni"
    X86 = "x86"
    ARM = "arm"
    TENSORRT = "tensorrt"


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
    target: TargetName = TargetName.AUTO


_USUAL_CALIBRATION = {
    "target": TargetName.AUTO,
    "keep_in_float": (),
    "float_share": FLOAT_SHARE,
    "max_drop": None,
    "search_s": SEARCH_S,
}


class RangeCheckSpec(Spec):
    """The images that show which values fp16 must hold: drawn by class, seeded."""

    dataset: str
    images: int = Field(CALIBRATION_IMAGES, ge=1, le=50_000)
    seed: int = 0


class BuildSpec(Spec):
    """An export at one precision; `softmax` appends one, so that the scores are probabilities.

    fp16 may be range-checked on a dataset; without, it is on what the workbench draws itself.
    """

    export: ExportSpec
    precision: Precision
    calibration: CalibrationSpec | None = None
    range_check: RangeCheckSpec | None = None
    softmax: bool = False

    @model_validator(mode="after")
    def _int8_is_calibrated(self) -> BuildSpec:
        if (self.precision == Precision.INT8) != (self.calibration is not None):
            raise ValueError("int8 needs a calibration dataset; other precisions take none.")
        return self

    @model_validator(mode="after")
    def _fp16_is_range_checked(self) -> BuildSpec:
        if self.range_check is not None and self.precision != Precision.FP16:
            raise ValueError("Only fp16 is range-checked on a dataset.")
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
        if self.range_check is None:
            plain.pop("range_check")
        for name, usual in _USUAL_CALIBRATION.items():
            if self.calibration and getattr(self.calibration, name) == usual:
                plain["calibration"].pop(name)
        return data_digest(plain)


class BenchmarkSpec(Spec):
    """How a build's speed is measured. Either `build` (a recipe) or `artifact` (a digest).

    `rate_per_s` and `limit_ms` are of scenario server: requests that arrive in a second (None:
    search the highest that keeps the limit), and the p99 that must hold. With `reuse` an equal
    measurement of before, on an equal machine, is taken instead of a new one.
    """

    build: BuildSpec | None = None
    artifact: str | None = None
    batch: int = Field(1, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=1024, description="0: all usable cores")
    instances: int = Field(1, ge=1, le=256, description="requests in flight in each process")
    processes: int = Field(1, ge=1, le=64)
    least_samples: int = Field(0, ge=0, description="images each process does at least")
    provider: str = CPU_PROVIDER
    window_s: float = Field(WINDOW_S, gt=0)
    max_s: float = Field(30.0, gt=0)
    tolerance: float = Field(0.05, gt=0, lt=1)
    scenario: Scenario = Scenario.CLOSED_LOOP
    rate_per_s: float | None = Field(None, gt=0)
    limit_ms: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0, description="of the arrivals of scenario server")
    reuse: bool = False

    @model_validator(mode="after")
    def _scenario_holds_together(self) -> BenchmarkSpec:
        wrong = scenario_problem(
            self.scenario, self.batch, self.instances, self.rate_per_s, self.limit_ms
        )
        if wrong is None and self.scenario in NEEDS_ONE_PROCESS and self.processes > 1:
            wrong = f"Scenario {self.scenario} runs in one process."
        if wrong is not None:
            raise ValueError(wrong)
        return self

    def setting(self) -> str:
        """Digest of all that decides the measurement, but the build itself."""
        return data_digest(self.model_dump(mode="json", exclude={"build", "artifact", "reuse"}))


NEEDS_ONE_PROCESS = (Scenario.SINGLE_STREAM, Scenario.OFFLINE, Scenario.SERVER)


def scenario_problem(
    scenario: Scenario, batch: int, instances: int, rate_per_s: float | None, limit_ms: float | None
) -> str | None:
    """Why a scenario cannot be measured this way, in one sentence; None where it can."""
    if scenario == Scenario.SINGLE_STREAM and (batch, instances) != (1, 1):
        return (
            "Scenario single-stream is one image at a time: it takes batch 1 and one request in "
            "flight."
        )
    if scenario == Scenario.SERVER and limit_ms is None:
        return "Scenario server needs a limit on the p99 of its latency, in ms."
    if scenario != Scenario.SERVER and (rate_per_s is not None or limit_ms is not None):
        return "A rate of arrivals and a limit on the p99 belong to scenario server."
    return None


class PeakSpec(Spec):
    """Numbers of threads for which the machine's own peak is measured."""

    threads: tuple[int, ...] = Field(min_length=1)


class ProfileSpec(Spec):
    """Whose time is told node by node. Either `build` (a recipe) or `artifact` (a digest)."""

    build: BuildSpec | None = None
    artifact: str | None = None
    batch: int = Field(1, ge=1, le=4096)
    threads: int = Field(0, ge=0, le=1024, description="0: all usable cores")
    provider: str = CPU_PROVIDER
    seconds: float = Field(6.0, gt=0, le=600, description="of running, half of it profiled")


class EvaluateSpec(Spec):
    """How a build's accuracy is measured. Either `build` (a recipe) or `artifact` (a digest)."""

    build: BuildSpec | None = None
    artifact: str | None = None
    dataset: str
    preprocess: dict[str, Any] | None = None
    limit: int | None = Field(None, ge=1)
    batch: int = Field(16, ge=1, le=1024)
    provider: str = CPU_PROVIDER
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
