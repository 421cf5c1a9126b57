"""Options of a run that only the builds of one precision have, and their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from db.enums import Precision
from engine.build.int8 import targets
from engine.common.environment import instruction_sets
from engine.runs.request import RunRequest
from engine.specs import CalibrationSpec, RangeCheckSpec
from engine.specs.precisions import file_precision


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options of a precision.

    `purpose` is the use of the images of `RunRequest.images_for`; `fields` returns fields of the
    BuildSpec. `phrase` describes the build in the plan, given its images as text;
    `phrase_without_images` is used where it has none.
    """

    purpose: str
    fields: Callable[[RunRequest], dict[str, Any]]
    phrase: Callable[[RunRequest, str], str]
    phrase_without_images: str = ""


def _calibration(request: RunRequest) -> dict[str, Any]:
    """The calibration; target `auto` becomes that of the submitting machine."""
    target = targets.resolve(request.target, instruction_sets(), request.provider).name
    spec = CalibrationSpec(
        dataset=request.effective_calibration_dataset,
        images=request.calibration_images,
        mode=request.calibration_mode,
        percentile=request.calibration_percentile,
        keep_in_float=request.keep_in_float,
        max_drop=request.max_drop,
        target=target,
        bias_correction=request.bias_correction,
    )
    return {"calibration": spec}


def _calibration_phrase(request: RunRequest, images: str) -> str:
    target = targets.resolve(request.target, instruction_sets(), request.provider)
    return f" for {target.summary}, calibrated on {images}"


def _range_check(request: RunRequest) -> dict[str, Any]:
    dataset = request.overflow_check_dataset
    if dataset is None:
        return {}
    return {"range_check": RangeCheckSpec(dataset=dataset, images=request.calibration_images)}


BUILD_OPTIONS: dict[str, BuildOptions] = {
    Precision.INT8: BuildOptions("calibrate on", _calibration, _calibration_phrase),
    Precision.FP16: BuildOptions(
        "check overflow on",
        _range_check,
        lambda request, images: f", overflow checked on {images}",
        phrase_without_images=", overflow not checked (no dataset)",
    ),
}
"""Options by precision of the model file; a precision without options is not in it."""


def options_of(precision: Precision) -> BuildOptions | None:
    """The options of the build of a precision, or of that whose file it shares."""
    return BUILD_OPTIONS.get(file_precision(precision))


def build_fields(request: RunRequest, precision: Precision) -> dict[str, Any]:
    """Fields of the BuildSpec that only this precision has."""
    options = options_of(precision)
    return options.fields(request) if options else {}
