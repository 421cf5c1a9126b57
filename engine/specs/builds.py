"""An export at a precision, and the images it looks at."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from db.enums import Precision
from engine.common.digests import data_digest
from engine.common.untrusted import MAX_INTEGER
from engine.specs.base import Spec
from engine.specs.exports import ExportSpec

CALIBRATION_IMAGES = 300
PERCENTILE = 99.999
FLOAT_SHARE = 0.1
SEARCH_S = 1800.0


class CalibrationMode(StrEnum):
    """How an int8 range is taken from the values seen; `max` keeps them all."""

    MAX = "max"
    PERCENTILE = "percentile"
    KL_DIVERGENCE = "kl_divergence"
    MSE = "mse"


class TargetName(StrEnum):
    """What int8 is made for; `auto` goes by the processor's instruction set and the provider."""

    AUTO = "auto"
    X86_VNNI = "x86-vnni"
    X86 = "x86"
    ARM = "arm"
    TENSORRT = "tensorrt"


class CalibrationSpec(Spec):
    """The images that int8 ranges are taken from: drawn by class, seeded."""

    dataset: str
    images: int = Field(CALIBRATION_IMAGES, ge=1, le=50_000)
    seed: int = Field(0, ge=0, le=MAX_INTEGER)
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
    seed: int = Field(0, ge=0, le=MAX_INTEGER)


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
