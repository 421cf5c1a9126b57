"""What a run asks of the build of each precision: the images it looks at, and its options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from db.enums import Precision
from engine.build.int8 import targets
from engine.common.environment import instruction_sets
from engine.runs.request import RunRequest
from engine.specs import CalibrationSpec, RangeCheckSpec


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """`purpose` of the images (`RunRequest.images_for`), `fields` of the BuildSpec, and the step.

    `told` is the step's phrase with images (given how many of what), `untold` that without.
    """

    purpose: str
    fields: Callable[[RunRequest], dict[str, Any]]
    told: Callable[[RunRequest, str], str]
    untold: str = ""


def _calibration(request: RunRequest) -> dict[str, Any]:
    """The target is settled here, on the machine that asks."""
    target = targets.resolve(request.target, instruction_sets(), request.provider).name
    spec = CalibrationSpec(
        dataset=request.effective_calibration_dataset,
        images=request.calibration_images,
        mode=request.calibration_mode,
        percentile=request.calibration_percentile,
        keep_in_float=request.keep_in_float,
        max_drop=request.max_drop,
        target=target,
    )
    return {"calibration": spec}


def _calibrated(request: RunRequest, images: str) -> str:
    target = targets.resolve(request.target, instruction_sets(), request.provider)
    return f" for {target.summary}, calibrated on {images}"


def _range_check(request: RunRequest) -> dict[str, Any]:
    dataset = request.overflow_check_dataset
    if dataset is None:
        return {}
    return {"range_check": RangeCheckSpec(dataset=dataset, images=request.calibration_images)}


BUILD_OPTIONS: dict[str, BuildOptions] = {
    Precision.INT8: BuildOptions("calibrate on", _calibration, _calibrated),
    Precision.FP16: BuildOptions(
        "check overflow on",
        _range_check,
        lambda request, images: f", overflow checked on {images}",
        untold=", overflow not checked (no dataset)",
    ),
}
"""Of the precisions whose builds have any."""


def build_fields(request: RunRequest, precision: Precision) -> dict[str, Any]:
    """Fields of the BuildSpec that only this precision has."""
    options = BUILD_OPTIONS.get(precision)
    return options.fields(request) if options else {}
