"""What stops a run before it is queued, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator

from db.enums import Precision, WeightsKind
from engine.catalog.models import CatalogModel
from engine.common.files import expand_user, is_file
from engine.errors import LabelsMismatch, WorkbenchError
from engine.export.routes import program_beside, require_environment, require_route
from engine.preprocess import PreprocessSpec, require_one_scale
from engine.runs.checks import Check, Datasets, matching_of
from engine.runs.requests import BUILTIN_DATASETS, RunRequest, Task
from engine.runs.sweeps import point_problems


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
            require_one_scale(
                (model.preprocess or PreprocessSpec()).with_overrides(request.preprocess)
            )
        own = own or model.preprocess
        other = (own or PreprocessSpec()).with_overrides(request.evaluation_preprocess)
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
            program_beside(expand_user(request.weights.path or ""))
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
