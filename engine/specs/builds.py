"""Specs of builds: an export at one precision, with its calibration or overflow check."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from db.enums import Precision
from engine.common.digests import data_digest
from engine.common.untrusted import MAX_INTEGER
from engine.specs.base import Spec
from engine.specs.exports import ExportSpec
from engine.specs.precisions import file_precision

CALIBRATION_IMAGES = 300
PERCENTILE = 99.999
FLOAT_SHARE = 0.1
SEARCH_S = 1800.0


class CalibrationMode(StrEnum):
    """Calibration method: how an int8 range is derived from observed values; `max`: min to max."""

    MAX = "max"
    PERCENTILE = "percentile"
    KL_DIVERGENCE = "kl_divergence"
    MSE = "mse"


class BiasCorrection(StrEnum):
    """How int8 biases are corrected: for the rounding of weights, or layer after layer."""

    FAST = "fast"
    ACCURATE = "accurate"


class TargetName(StrEnum):
    """Int8 target; `auto` follows the processor's instruction set and the execution provider."""

    AUTO = "auto"
    X86_VNNI = "x86-vnni"
    X86 = "x86"
    ARM = "arm"
    TENSORRT = "tensorrt"


class CalibrationSpec(Spec):
    """Int8 calibration: images (sampled by class, with a seed), method, and accuracy constraint."""

    dataset: str
    images: int = Field(CALIBRATION_IMAGES, ge=1, le=50_000)
    seed: int = Field(0, ge=0, le=MAX_INTEGER)
    mode: CalibrationMode = CalibrationMode.MSE
    percentile: float = Field(PERCENTILE, gt=50, le=100, description="for mode percentile only")
    keep_in_float: tuple[int, ...] = Field(
        (), description="convolutions excluded from quantization: indices in graph order from 0"
    )
    float_share: float = Field(
        FLOAT_SHARE, ge=0, le=1, description="share of the convolutions' MACs that may stay float"
    )
    max_drop: float | None = Field(
        None, gt=0, le=100, description="maximum top-1 drop of int8 against fp32, in points"
    )
    search_s: float = Field(SEARCH_S, gt=0, description="maximum search time for max_drop")
    target: TargetName = TargetName.AUTO
    bias_correction: BiasCorrection = Field(
        BiasCorrection.FAST,
        description="accurate: from the means of quantized activations, layer after layer",
        exclude_if=lambda chosen: chosen == BiasCorrection.FAST,
    )


_CALIBRATION_DEFAULTS = {
    "target": TargetName.AUTO,
    "keep_in_float": (),
    "float_share": FLOAT_SHARE,
    "max_drop": None,
    "search_s": SEARCH_S,
}


class RangeCheckSpec(Spec):
    """The images of the fp16 overflow check: sampled by class, with a seed."""

    dataset: str
    images: int = Field(CALIBRATION_IMAGES, ge=1, le=50_000)
    seed: int = Field(0, ge=0, le=MAX_INTEGER)


class BuildSpec(Spec):
    """An export at one precision; `softmax` appends a softmax, so that scores are probabilities.

    `range_check` is the overflow check of fp16; without it, synthetic images are used.
    """

    export: ExportSpec
    precision: Precision
    calibration: CalibrationSpec | None = None
    range_check: RangeCheckSpec | None = None
    softmax: bool = False

    @model_validator(mode="after")
    def _int8_is_calibrated(self) -> BuildSpec:
        if (file_precision(self.precision) == Precision.INT8) != (self.calibration is not None):
            raise ValueError("int8 needs a calibration dataset; other precisions have none.")
        return self

    @model_validator(mode="after")
    def _fp16_is_range_checked(self) -> BuildSpec:
        if self.range_check is not None and self.precision != Precision.FP16:
            raise ValueError("Only fp16 takes an overflow check on a dataset.")
        return self

    @model_validator(mode="after")
    def _starts_from_onnx(self) -> BuildSpec:
        if self.export.format != "onnx":
            raise ValueError("Builds start from an ONNX export, not from TorchScript.")
        return self

    def fingerprint(self) -> str:
        """As in the base, with the export's own fingerprint; defaults added later are left out."""
        plain = {**self.to_json(), "export": self.export.fingerprint()}
        if not self.softmax:
            plain.pop("softmax")
        if self.range_check is None:
            plain.pop("range_check")
        for name, default in _CALIBRATION_DEFAULTS.items():
            if self.calibration and getattr(self.calibration, name) == default:
                plain["calibration"].pop(name)
        return data_digest(plain)
