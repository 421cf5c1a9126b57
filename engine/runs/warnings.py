"""What to beware of in a run; none of it stops the run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress

from db.enums import Precision, WeightsKind
from engine.build.fp16.execution import EMULATED, expected
from engine.build.int8 import targets
from engine.build.int8.saturation import overflow_of
from engine.catalog.models import CatalogModel
from engine.common.environment import instruction_sets
from engine.config import settings
from engine.datasets.report import DatasetReport
from engine.errors import LabelsMismatch
from engine.runs.checks import Check, Datasets, matching_of
from engine.runs.overlaps import images_of_both
from engine.runs.requests import BUILTIN_CALIBRATION, RunRequest, Task
from engine.runs.sweeps import point_warnings
from engine.specs import TargetName
from engine.weights.registry import find_registered

Z_95 = 1.96


def _warns_of_downloads(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> Iterator[str]:
    if request.weights.kind != WeightsKind.PRETRAINED or model.weights_ref is None:
        return
    from engine.weights.lookup import remote_of

    remote = remote_of(model)
    if find_registered(model) is None and not remote.target.is_file():
        how = (
            "cannot be downloaded (SENET_OFFLINE is set)"
            if settings().offline
            else "are downloaded"
        )
        yield (
            f"The weights are not on this machine yet and {how}: {remote.url}. To bring them by "
            f"hand, put that file at {remote.target}."
        )


def _warns_of_calibration(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> Iterator[str]:
    if Precision.INT8 not in request.built:
        return
    calibrated = datasets.get(request.calibration_set)
    if calibrated is not None and calibrated.num_images < request.calibration_images:
        yield (
            f"{calibrated.name} has {calibrated.num_images:,} images, fewer than the "
            f"{request.calibration_images:,} to calibrate on: int8 is calibrated on those."
        )
    evaluated = datasets.get(request.dataset or "") if Task.EVALUATE in request.tasks else None
    both = images_of_both(request, calibrated, evaluated)
    if both:
        yield (
            f"int8 is calibrated on {both:,} of the images that it is then evaluated on "
            f"({request.dataset}): its accuracy may look slightly better than it is. Its result "
            f"says so, with the accuracy on the others; or choose another calibration set."
        )
    if request.calibration_set == BUILTIN_CALIBRATION and model.source != "demo":
        yield (
            "int8 is calibrated on drawn images, not photographs: its speed is right, its "
            "accuracy is not. Choose a calibration set."
        )


def _warns_of_precision(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> Iterator[str]:
    execution = expected(request.provider)
    if Precision.FP16 in request.precisions and execution.kind == EMULATED:
        yield (
            f"fp16 is emulated on this CPU: correct and half the size, not faster; {execution.why}."
        )
    if model.source == "onnx" and request.preprocess is None:
        yield (
            "An ONNX file does not say how images are prepared: ImageNet mean and deviation and a "
            "7/8 center crop are assumed. A wrong guess costs accuracy; set them if you know them."
        )


def _warns_of_points(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    if Task.BENCHMARK in request.tasks:
        yield from point_warnings(request)


def _warns_of_target(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    if Precision.INT8 not in request.built:
        return
    isa = instruction_sets()
    target = targets.resolve(request.target, isa, request.provider)
    if not target.tried:
        yield (
            f"int8 for {target.name} follows its vendor's rules and was checked for correct "
            f"scores on an x86 processor; on hardware of its own it has not been tried."
        )
    overflow = overflow_of(target.name, isa)
    if overflow is not None:
        yield f"{overflow}."
    own = targets.resolve(TargetName.AUTO, isa, request.provider)
    if Task.BENCHMARK in request.tasks and target.name != own.name:
        yield (
            f"int8 for {target.name} is benchmarked on a machine that wants {own.name}: its speed "
            f"here says nothing about the one it is made for."
        )


def _warns_of_dataset(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> Iterator[str]:
    known = datasets.get(request.dataset or "")
    if known is None or Task.EVALUATE not in request.tasks:
        return
    images = min(known.num_images, request.limit or known.num_images)
    points = 100 * Z_95 * math.sqrt(0.8 * 0.2 / images)
    if points > 0.5:
        yield f"{images:,} images give about ±{points:.1f} points of top-1 (95 %)."
    with suppress(LabelsMismatch):  # which is among the problems
        matching = matching_of(request, model, datasets)
        if matching is not None and matching.assumed:
            yield matching.assumed
    if corrupt := DatasetReport.of(known).corrupt:
        yield f"{corrupt} images of {known.name} cannot be read and are left out."


WARNINGS: tuple[Check, ...] = (
    _warns_of_downloads,
    _warns_of_calibration,
    _warns_of_precision,
    _warns_of_target,
    _warns_of_dataset,
    _warns_of_points,
)
