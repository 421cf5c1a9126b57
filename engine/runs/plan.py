"""The plan of a run: what will happen, what is missing and how to get it, what to beware of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from db.enums import Precision, WeightsKind
from db.models import Dataset
from db.session import reading
from engine.catalog.models import CatalogModel, find_model
from engine.demo import images
from engine.errors import WorkbenchError
from engine.preprocess import PreprocessSpec
from engine.runs.build_options import BUILD_OPTIONS
from engine.runs.request import BUILTIN_DATASETS, RunRequest, Task, points_of
from engine.runs.validation import PROBLEMS, WARNINGS, Datasets
from engine.runtimes.registry import is_choice, label_of
from engine.specs import Scenario
from engine.weights.registry import find_registered

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
    problems = [p for check in PROBLEMS for p in check(request, model, datasets)]
    warnings = [w for check in WARNINGS for w in check(request, model, datasets)]
    return Plan(tuple(steps_of(request, model, datasets)), tuple(problems), tuple(warnings))


def _datasets(url: str) -> Datasets:
    with reading(url) as session:
        return {row.name: row for row in session.scalars(select(Dataset))}


def steps_of(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    """Each step that the run will take."""
    for name in request.datasets:
        if name in BUILTIN_DATASETS and name not in datasets:
            yield f"Draw the built-in image set {name}."
    via = " with paddle2onnx" if request.via == "paddle2onnx" else ""
    target = _FORMAT_LABELS[request.format]
    yield f"Export {model.id} with {_weights_phrase(request, model)} to {target}{via} and check it."
    for precision in request.built:
        made = _made_phrase(request, precision, datasets)
        softmax = ", with a softmax appended" if request.softmax else ""
        yield f"Build {precision}{made}{softmax}."
    if Task.EVALUATE in request.tasks and request.dataset:
        looked_at = _images_phrase(request.limit, request.dataset, datasets)
        yield f"Evaluate each on {looked_at}{_prepared_phrase(request, model)}."
    if Task.BENCHMARK in request.tasks:
        runtime = f" in {label_of(request.runtime)}" if is_choice() else ""
        yield f"Benchmark each{runtime} {_settings_phrase(request)}, alone on the machine."
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


def _images_phrase(asked: int | None, dataset: str, datasets: Datasets) -> str:
    """`20 images of v20`: as many as were asked for, or as there are."""
    if dataset in datasets:
        there: int | None = datasets[dataset].num_images
    else:
        there = images.BUILTIN[dataset].images if dataset in images.BUILTIN else None
    counts = [count for count in (asked, there) if count]
    return f"{min(counts):,} images of {dataset}" if counts else dataset


def _made_phrase(request: RunRequest, precision: Precision, datasets: Datasets) -> str:
    """`, calibrated on 300 images of v20`: what is special about the build of a precision."""
    options, dataset = BUILD_OPTIONS.get(precision), request.images_for(precision)
    if options is None or dataset is None:
        return options.untold if options else ""
    return options.told(request, _images_phrase(request.calibration_images, dataset, datasets))


def _prepared_phrase(request: RunRequest, model: CatalogModel) -> str:
    given = request.evaluation_preprocess
    if not given:
        return ""
    try:
        own = PreprocessSpec.from_dict(request.preprocess) if request.preprocess else None
        own = own or model.preprocess
        told = own.changed(given).summary() if own else f"other {', '.join(given)}"
    except WorkbenchError:
        return ""
    return f", prepared otherwise than the export says: {told}"


def _weights_phrase(request: RunRequest, model: CatalogModel) -> str:
    registered = find_registered(model)
    key = f", set {request.weights.key}" if request.weights.key else ""
    if request.weights.kind == WeightsKind.PRETRAINED and registered is not None:
        return f"weights {registered.origin}{key}"
    if request.weights.kind == WeightsKind.FILE:
        return f"the weights of {Path(request.weights.path or '').name}{key}"
    return f"{request.weights.kind} weights{key}"
