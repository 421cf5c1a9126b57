"""What is looked at before a run is queued: what stops it, and what to beware of, in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from db.enums import Precision, WeightsKind
from db.models import Dataset
from engine.build.fp16.execution import EMULATED, expected
from engine.build.int8 import targets
from engine.build.int8.saturation import overflow_of
from engine.catalog.models import CatalogModel
from engine.common.environment import instruction_sets
from engine.common.files import expand_user, is_file
from engine.config import settings
from engine.datasets.classes import ClassMatching, match_outputs
from engine.datasets.imagenet import class_names
from engine.datasets.reader import classes_of, open_index
from engine.datasets.report import DatasetReport
from engine.datasets.sampling import draw_by_class
from engine.errors import LabelsMismatch, WorkbenchError
from engine.export.routes import find_program, require_environment, require_route
from engine.preprocess import PreprocessSpec, require_one_scale
from engine.runs.request import (
    BUILTIN_CALIBRATION,
    BUILTIN_DATASETS,
    RunRequest,
    Task,
    points_of,
)
from engine.specs import TargetName, scenario_problem
from engine.weights.registry import find_registered

Datasets = dict[str, Dataset]
"""The registered datasets by name."""

IMAGENET = len(class_names())
Z_95 = 1.96
CROWDED = 2  # threads for each core beyond which a point measures the waiting
SEED = 0
"""Of both draws, where the request names none."""
Check = Callable[[RunRequest, CatalogModel, Datasets], Iterator[str]]


def matching_of(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> ClassMatching | None:
    """How the outputs go with the classes of the dataset, where both are known beforehand.

    They are for pretrained weights of the catalog. Raises LabelsMismatch where they do not.
    """
    known = datasets.get(request.dataset or "")
    pretrained = model.in_catalogue and request.weights.kind == WeightsKind.PRETRAINED
    if known is None or not pretrained or Task.EVALUATE not in request.tasks:
        return None
    classes = classes_of(known)
    if classes is None:
        return None
    return match_outputs(model.id, IMAGENET, request.background, known.name, classes)


def _needs_choices(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    if not request.precisions:
        yield "Choose at least one precision."
    if not request.tasks:
        yield "Choose at least one task."
    if Task.BENCHMARK not in request.tasks:
        return
    if not (request.batches and request.threads and request.instances):
        yield "Choose at least one batch size, number of requests in flight, and number of threads."
    yield from point_problems(request)


def _needs_weights(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    weights = request.weights
    if weights.kind == WeightsKind.FILE and not is_file(expand_user(weights.path or "")):
        yield f"There is no file {weights.path}."
    if weights.key is not None and model.source in ("onnx", "demo"):
        yield f"The weights of {model.id} are one set: leave the weights key out."
    if model.source == "onnx" and weights.kind != WeightsKind.FILE:
        yield "An ONNX model is its file: choose weights from a file."
    if weights.kind == WeightsKind.RANDOM and Task.EVALUATE in request.tasks:
        yield "Random weights are fit to measure speed, never accuracy: leave out Evaluate."


def _needs_datasets(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    wanted = {}
    if Task.EVALUATE in request.tasks:
        if not request.dataset:
            yield "Evaluate needs a dataset: choose one, or add one with `dataset add NAME FOLDER`."
        wanted["evaluate on"] = request.dataset
    if Precision.INT8 in request.built:
        wanted["calibrate on"] = request.calibration_set
    if Precision.FP16 in request.built:
        wanted["check ranges on"] = request.range_check_set
    for name in dict.fromkeys(filter(None, wanted.values())):
        if name not in datasets and name not in BUILTIN_DATASETS:
            purposes = [purpose for purpose, other in wanted.items() if other == name]
            yield (
                f"There is no dataset {name!r} to {' and '.join(purposes)}: add it with "
                f"`dataset add {name} FOLDER`."
            )


def _needs_same_classes(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> Iterator[str]:
    try:
        matching_of(request, model, datasets)
    except LabelsMismatch as error:
        yield str(error)


def _needs_images_to_judge(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> Iterator[str]:
    calibrated = datasets.get(request.calibration_set)
    if request.max_drop is None or Precision.INT8 not in request.built or calibrated is None:
        return
    if calibrated.num_images <= request.calibration_images:
        yield (
            f"{calibrated.name} has {calibrated.num_images:,} images, and all of them are "
            f"calibrated on: none is left to judge the accuracy constraint. Calibrate on fewer "
            f"(--calibration-images), or on a larger set."
        )


def _needs_valid_preprocessing(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> Iterator[str]:
    try:
        own = PreprocessSpec.from_dict(request.preprocess) if request.preprocess else None
        if request.preprocess:
            # Every network that knows its own way divides pixels by 255.
            require_one_scale((model.preprocess or PreprocessSpec()).changed(request.preprocess))
        own = own or model.preprocess
        other = (own or PreprocessSpec()).changed(request.evaluation_preprocess)
        if request.evaluation_preprocess:
            require_one_scale(other)
    except WorkbenchError as error:
        yield str(error)
        return
    if own is not None and own.crop != other.crop:
        yield (
            f"{model.id} is exported for {own.crop} x {own.crop} pixels and cannot be evaluated at "
            f"{other.crop} x {other.crop}: choose that preprocessing for the whole run."
        )


def _needs_route(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    try:
        require_route(model, request.format, request.via)
        if request.via == "paddle2onnx":
            find_program(expand_user(request.weights.path or ""))
            require_environment()
    except WorkbenchError as error:
        yield str(error)
    if request.format != "onnx" and set(request.tasks) != {Task.EXPORT}:
        yield "TorchScript is for other tools: builds and measurements start from ONNX."


PROBLEMS: tuple[Check, ...] = (
    _needs_choices,
    _needs_weights,
    _needs_datasets,
    _needs_images_to_judge,
    _needs_same_classes,
    _needs_valid_preprocessing,
    _needs_route,
)


def point_problems(request: RunRequest) -> Iterator[str]:
    """Why some point cannot be measured, each reason once."""
    reasons = (
        scenario_problem(
            request.scenario, point.batch, point.instances, request.rate_per_s, request.limit_ms
        )
        for point in points_of(request)
    )
    yield from dict.fromkeys(reason for reason in reasons if reason is not None)


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


def point_warnings(request: RunRequest, cores: int | None = None) -> Iterator[str]:
    """Points that ask for far more threads than there are cores, and those that are the same."""
    cores = cores or settings().threads
    points = points_of(request, cores)
    asked = len(request.batches) * len(request.instances) * len(request.threads)
    if len(points) < asked:
        same = asked - len(points)
        yield (
            f"{same} of {asked} points are the same as others (threads 0 means the {cores} cores "
            f"shared out among the requests in flight) and measured once."
        )
    crowded = [p for p in points if p.instances * p.threads_on(cores) > CROWDED * cores]
    if crowded:
        worst = max(crowded, key=lambda p: p.instances * p.threads_on(cores))
        yield (
            f"{len(crowded)} of {len(points)} points ask for more than {CROWDED * cores} threads "
            f"on {cores} cores (up to {worst.instances} in flight x {worst.threads_on(cores)} "
            f"threads): what they measure is mostly waiting."
        )


def images_of_both(
    request: RunRequest, calibrated: Dataset | None, evaluated: Dataset | None
) -> int:
    """Files in common of one folder; 0 where a set is not registered yet.

    Copies in another folder are found by the evaluation itself, by their bytes.
    """
    if calibrated is None or evaluated is None or calibrated.root != evaluated.root:
        return 0
    try:
        drawn = _drawn(calibrated, request.calibration_images)
        return len(drawn & _drawn(evaluated, request.limit))
    except WorkbenchError:
        return 0


def _drawn(dataset: Dataset, count: int | None) -> set[str]:
    index = open_index(dataset)
    places = np.arange(len(index))
    if count is not None and count < len(index):
        places = draw_by_class(index.labels, count, SEED)
    return {index.files[int(place)] for place in places}
