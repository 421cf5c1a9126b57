"""What a run will do, one sentence a step, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from db.enums import Precision, WeightsKind
from engine.build.int8 import targets
from engine.catalog.models import CatalogModel
from engine.common.environment import instruction_sets
from engine.demo import images
from engine.errors import WorkbenchError
from engine.preprocess import PreprocessSpec
from engine.runs.checks import Datasets
from engine.runs.requests import BUILTIN_DATASETS, RunRequest, Task
from engine.runs.sweeps import points_of
from engine.specs import Scenario
from engine.weights.registry import find_registered

_FORMAT_LABELS = {"onnx": "ONNX", "torchscript": "TorchScript"}


def steps_of(request: RunRequest, model: CatalogModel, datasets: Datasets) -> Iterator[str]:
    """Each step that the run will take."""
    for name in request.datasets:
        if name in BUILTIN_DATASETS and name not in datasets:
            yield f"Draw the built-in image set {name}."
    via = " with paddle2onnx" if request.via == "paddle2onnx" else ""
    target = _FORMAT_LABELS[request.format]
    yield f"Export {model.id} with {_weights_phrase(request, model)} to {target}{via} and check it."
    for precision in request.built:
        made = _MADE[precision](request, datasets) if precision in _MADE else ""
        softmax = ", with a softmax appended" if request.softmax else ""
        yield f"Build {precision}{made}{softmax}."
    if Task.EVALUATE in request.tasks and request.dataset:
        looked_at = _images_phrase(request.limit, request.dataset, datasets)
        yield f"Evaluate each on {looked_at}{_prepared_phrase(request, model)}."
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


def _images_phrase(asked: int | None, dataset: str, datasets: Datasets) -> str:
    """`20 images of v20`: as many as were asked for, or as there are."""
    if dataset in datasets:
        there: int | None = datasets[dataset].num_images
    else:
        there = images.BUILTIN[dataset].images if dataset in images.BUILTIN else None
    counts = [count for count in (asked, there) if count]
    return f"{min(counts):,} images of {dataset}" if counts else dataset


def _int8_phrase(request: RunRequest, datasets: Datasets) -> str:
    target = targets.resolve(request.target, instruction_sets(), request.provider)
    looked_at = _images_phrase(request.calibration_images, request.calibration_set, datasets)
    return f" for {target.summary}, calibrated on {looked_at}"


def _fp16_phrase(request: RunRequest, datasets: Datasets) -> str:
    dataset = request.range_check_set
    if dataset is None:
        return ", not range-checked on data"
    looked_at = _images_phrase(request.calibration_images, dataset, datasets)
    return f", range-checked on {looked_at}"


_MADE = {Precision.INT8: _int8_phrase, Precision.FP16: _fp16_phrase}


def _prepared_phrase(request: RunRequest, model: CatalogModel) -> str:
    given = request.evaluation_preprocess
    if not given:
        return ""
    try:
        own = PreprocessSpec.from_dict(request.preprocess) if request.preprocess else None
        own = own or model.preprocess
        told = own.with_overrides(given).summary() if own else f"other {', '.join(given)}"
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
