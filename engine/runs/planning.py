"""The plan of a run: what will happen, what is missing and how to get it, what to beware of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from db.enums import Precision, WeightsKind
from db.session import reading
from db.tables import Dataset
from engine.catalog import CatalogModel, find_model
from engine.config import settings
from engine.environment import instruction_sets
from engine.errors import WorkbenchError
from engine.export.routes import program_beside, require_environment, require_route
from engine.half.execution import EMULATED, expected
from engine.preprocess import PreprocessSpec
from engine.quantize import targets
from engine.runs.overlaps import images_of_both
from engine.runs.requests import BUILTIN_CALIBRATION, BUILTIN_DATASETS, RunRequest, Task
from engine.runs.sweeps import point_problems, point_warnings, points_of
from engine.specs import Scenario, TargetName
from engine.weights.registered import find_registered

Z_95 = 1.96
_FORMAT_LABELS = {"onnx": "ONNX", "torchscript": "TorchScript"}


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` in order; `problems` stop the run, `warnings` do not."""

    steps: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def plan(request: RunRequest, url: str) -> Plan:
    """What the run would do; computes nothing and reaches for nothing but the database."""
    try:
        model = find_model(request.model_id)
    except WorkbenchError as error:
        return Plan((), (str(error),), ())
    datasets = _datasets(url)
    problems = [p for check in _PROBLEMS for p in check(request, model, datasets)]
    warnings = [w for check in _WARNINGS for w in check(request, model, datasets)]
    return Plan(tuple(_steps(request, model, datasets)), tuple(problems), tuple(warnings))


Datasets = dict[str, Dataset]
Check = Callable[[RunRequest, CatalogModel, Datasets], Iterator[str]]


def _datasets(url: str) -> Datasets:
    with reading(url) as session:
        return {row.name: row for row in session.scalars(select(Dataset))}


def _steps(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    builds = any(task != Task.EXPORT for task in request.tasks)
    evaluates = Task.EVALUATE in request.tasks
    drawn = [request.dataset] if evaluates else []
    drawn += [request.calibration_set] if builds and Precision.INT8 in request.precisions else []
    drawn += [request.range_check_set] if builds and Precision.FP16 in request.precisions else []
    for name in dict.fromkeys(drawn):
        if name in BUILTIN_DATASETS and name not in datasets:
            yield f"Draw the built-in image set {name}."
    via = " with paddle2onnx" if request.via == "paddle2onnx" else ""
    target = _FORMAT_LABELS[request.format]
    yield f"Export {model.id} with {_weights_phrase(request, model)} to {target}{via} and check it."
    for precision in request.precisions if builds else ():
        made = _MADE[precision](request) if precision in _MADE else ""
        softmax = ", with a softmax appended" if request.softmax else ""
        yield f"Build {precision}{made}{softmax}."
    if evaluates and request.dataset:
        known = datasets.get(request.dataset)
        count = min(known.num_images, request.limit or known.num_images) if known else None
        images = f"{count:,} images of {request.dataset}" if count else request.dataset
        yield f"Evaluate each on {images}{_prepared_phrase(request)}."
    if Task.BENCHMARK in request.tasks:
        yield f"Benchmark each {_settings_phrase(request)}, alone on the machine."
    if Task.PROFILE in request.tasks:
        batch = request.batches[0] if request.batches else 1
        yield f"Profile each at batch {batch}: where the time goes, operator by operator."


def _settings_phrase(request: RunRequest) -> str:
    """`at batch 1, 8`; of a sweep also the requests in flight, the threads, and how many points."""
    parts = [f"at batch {_listed(request.batches)}"]
    if request.instances != (1,):
        parts.append(f"{_listed(request.instances)} requests in flight")
    if request.threads != (0,):
        parts.append(f"{_listed(request.threads)} threads")
    if request.scenario != Scenario.CLOSED_LOOP:
        parts.append(f"in scenario {request.scenario}")
    points = len(points_of(request))
    return " x ".join(parts) + (f", {points} points" if len(parts) > 1 and points > 1 else "")


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(str(value) for value in values)


def _int8_phrase(request: RunRequest) -> str:
    target = targets.resolve(request.target, instruction_sets(), request.provider)
    return (
        f" for {target.summary}, calibrated on {request.calibration_images} images of "
        f"{request.calibration_set}"
    )


def _fp16_phrase(request: RunRequest) -> str:
    images = request.range_check_set
    checked = f"range-checked on {request.calibration_images} images of {images}"
    return f", {checked if images else 'not range-checked on data'}"


_MADE = {Precision.INT8: _int8_phrase, Precision.FP16: _fp16_phrase}


def _prepared_phrase(request: RunRequest) -> str:
    if not request.evaluation_preprocess:
        return ""
    try:
        summary = PreprocessSpec.from_dict(request.evaluation_preprocess).summary()
    except WorkbenchError:
        return ""
    return f", prepared otherwise than the export says: {summary}"


def _weights_phrase(request: RunRequest, model: CatalogModel) -> str:
    registered = find_registered(model)
    if request.weights.kind == WeightsKind.PRETRAINED and registered is not None:
        return f"weights {registered.origin}"
    if request.weights.kind == WeightsKind.FILE:
        return f"the weights of {Path(request.weights.path or '').name}"
    return f"{request.weights.kind} weights"


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
    if weights.kind == WeightsKind.FILE and not Path(weights.path or "").expanduser().is_file():
        yield f"There is no file {weights.path}."
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
    if Precision.INT8 in request.precisions and set(request.tasks) != {Task.EXPORT}:
        wanted["calibrate on"] = request.calibration_set
    for purpose, name in wanted.items():
        if name and name not in datasets and name not in BUILTIN_DATASETS:
            yield (
                f"There is no dataset {name!r} to {purpose}: add it with "
                f"`dataset add {name} FOLDER`."
            )


def _needs_valid_preprocessing(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> Iterator[str]:
    try:
        own = PreprocessSpec.from_dict(request.preprocess) if request.preprocess else None
        other = PreprocessSpec.from_dict(request.evaluation_preprocess or {})
    except WorkbenchError as error:
        yield str(error)
        return
    own = own or model.preprocess
    if request.evaluation_preprocess and own is not None and own.crop != other.crop:
        yield (
            f"{model.id} is exported for {own.crop} x {own.crop} pixels and cannot be evaluated at "
            f"{other.crop} x {other.crop}: choose that preprocessing for the whole run."
        )


def _needs_route(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    try:
        require_route(model, request.format, request.via)
        if request.via == "paddle2onnx":
            program_beside(Path(request.weights.path or "").expanduser())
            require_environment()
    except WorkbenchError as error:
        yield str(error)
    if request.format != "onnx" and set(request.tasks) != {Task.EXPORT}:
        yield "TorchScript is for other tools: builds and measurements start from ONNX."


def _warns_of_downloads(
    request: RunRequest, model: CatalogModel, datasets: Datasets
) -> Iterator[str]:
    if request.weights.kind != WeightsKind.PRETRAINED or model.weights_ref is None:
        return
    from engine.weights.finding import remote_of

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
    if Precision.INT8 not in request.precisions or set(request.tasks) == {Task.EXPORT}:
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
            "7/8 centre crop are assumed. A wrong guess costs accuracy; set them if you know them."
        )


def _warns_of_points(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    if Task.BENCHMARK in request.tasks:
        yield from point_warnings(request)


def _warns_of_target(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    if Precision.INT8 not in request.precisions or set(request.tasks) == {Task.EXPORT}:
        return
    isa = instruction_sets()
    target = targets.resolve(request.target, isa, request.provider)
    if not target.tried:
        yield (
            f"int8 for {target.name} follows its vendor's rules and was checked for correct "
            f"scores on an x86 processor; on hardware of its own it has not been tried."
        )
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
    if known.report.get("corrupt"):
        yield f"{known.report['corrupt']} images of {known.name} cannot be read and are left out."


_PROBLEMS: tuple[Check, ...] = (
    _needs_choices,
    _needs_weights,
    _needs_datasets,
    _needs_valid_preprocessing,
    _needs_route,
)
_WARNINGS: tuple[Check, ...] = (
    _warns_of_downloads,
    _warns_of_calibration,
    _warns_of_precision,
    _warns_of_target,
    _warns_of_dataset,
    _warns_of_points,
)
