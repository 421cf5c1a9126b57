"""The plan of a run: its steps, the problems that stop it, warnings and notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from db.enums import Precision, WeightsKind
from engine.catalog.models import CatalogModel, find_model
from engine.config import settings
from engine.datasets.available import AvailableDatasets
from engine.demo import images
from engine.errors import WorkbenchError
from engine.preprocess import PreprocessSpec
from engine.runs.build_options import options_of
from engine.runs.cells import Cells, cells_of
from engine.runs.comparison import Comparison, comparison_of
from engine.runs.disk import estimate_disk
from engine.runs.downloads import missing_weights, weights_sentences
from engine.runs.many_models import merge_sentences
from engine.runs.placement import place_problems, place_steps
from engine.runs.request import BUILTIN_DATASETS, RunRequest, Task, benchmark_points
from engine.runs.validation import NOTE_CHECKS, PROBLEM_CHECKS, WARNING_CHECKS, Check
from engine.runs.work import Work, work_of
from engine.runtimes.registry import RUNTIMES, label_of
from engine.specs import Scenario
from engine.weights.registry import find_registered

_FORMAT_LABELS = {"onnx": "ONNX", "torchscript": "TorchScript"}


@dataclass(frozen=True, slots=True)
class Plan:
    """Sentences on a run. `problems` stop it; `warnings` concern its results; `notes` inform.

    `work` are its jobs; None where problems stop it.
    """

    steps: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    work: Work | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """Warnings, then notes."""
        return (*self.warnings, *self.notes)


def plan(request: RunRequest, url: str) -> Plan:
    """The plan of a run, from the request and the database; nothing is downloaded or computed.

    Of several models, equal sentences are said once, with the models that they concern.
    """
    datasets = AvailableDatasets.read(url)
    requests = request.for_each_model()
    plans = [(one.model_id, _plan_of_model(one, datasets)) for one in requests]
    missing, offline = missing_weights(requests), settings().offline
    weights = weights_sentences(missing, offline)
    work = disk = None
    if not any(found.problems for _, found in plans):
        work = work_of(request, url)
        disk = estimate_disk(request, work, missing, url)
    if len(plans) == 1:
        only = plans[0][1]
        merged = (only.steps, only.problems, only.warnings, only.notes)
    else:
        merged = tuple(  # type: ignore[assignment]
            merge_sentences((model_id, getattr(found, kind)) for model_id, found in plans)
            for kind in ("steps", "problems", "warnings", "notes")
        )
    steps, problems, warnings, notes = merged
    unplaced = tuple(place_problems(request, url))
    return Plan(
        steps if unplaced else (*steps, *place_steps(request, url)),
        (*problems, *unplaced),
        (*(weights if offline else ()), *warnings, *(disk.warnings() if disk else ())),
        (*(() if offline else weights), *notes, *(disk.notes() if disk else ())),
        work,
    )


def _plan_of_model(request: RunRequest, datasets: AvailableDatasets) -> Plan:
    """The plan of a request of one model."""
    try:
        model = find_model(request.model_id)
    except WorkbenchError as error:
        return Plan((), (str(error),), ())

    def run_checks(checks: tuple[Check, ...]) -> tuple[str, ...]:
        return tuple(text for check in checks for text in check(request, model, datasets))

    return Plan(
        tuple(plan_steps(request, model, datasets)),
        run_checks(PROBLEM_CHECKS),
        run_checks(WARNING_CHECKS),
        run_checks(NOTE_CHECKS),
    )


def plan_steps(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    """The steps of the run in order, one sentence each."""
    for name in request.required_datasets:
        if name in datasets.preparing:
            yield f"Wait until dataset {name} is prepared."
        elif name in BUILTIN_DATASETS and name not in datasets:
            yield f"Generate the built-in dataset {name} (synthetic images)."
    exporter = " with paddle2onnx" if request.via == "paddle2onnx" else ""
    target = _FORMAT_LABELS[request.format]
    weights = _weights_phrase(request, model)
    yield f"Export {model.id} with {weights} to {target}{exporter} and verify it."
    cells = cells_of(request)
    for precision in cells.precisions:
        details = _build_phrase(request, precision, datasets)
        softmax = ", with a softmax appended" if request.softmax else ""
        yield f"Build {precision}{details}{softmax}."
    used = dict.fromkeys(runtime for _, runtime in cells.possible)
    where = f" in {' and in '.join(map(label_of, used))}" if used else ""
    if Task.EVALUATE in request.tasks and request.dataset:
        evaluated = _images_phrase(request.limit, request.dataset, datasets)
        preprocessing = _preprocessing_phrase(request, model)
        yield f"Evaluate each build{where} on {evaluated}{preprocessing}."
    if Task.BENCHMARK in request.tasks:
        yield (
            f"Benchmark each build{where} {_points_phrase(request)}, with no other job on this "
            f"machine."
        )
    comparison = comparison_of(request, cells)
    if comparison is not None:
        yield _comparison_phrase(comparison, cells)
    if Task.PROFILE in request.tasks:
        batch = request.batches[0] if request.batches else 1
        profiled = [label_of(runtime) for runtime in used if RUNTIMES[runtime].profiles]
        where = f" in {' and in '.join(profiled)}" if profiled else ""
        yield f"Profile each build{where} at batch {batch}: inference time by operator."


def _comparison_phrase(comparison: Comparison, cells: Cells) -> str:
    runtimes = dict.fromkeys(runtime for _, runtime in comparison.cells)
    built = "" if Precision.FP32 in cells.precisions else " fp32 is built for it."
    return (
        f"Measure whether {' and '.join(comparison.compared)} is faster than fp32 in "
        f"{' and in '.join(map(label_of, runtimes))} at batch {comparison.point.batch}, with no "
        f"other job on this machine.{built}"
    )


def _points_phrase(request: RunRequest) -> str:
    """`at batch 1, 8`; for a sweep also concurrency, threads and number of combinations."""
    parts = [f"at batch {_join(request.batches)}"]
    if request.instances != (1,):
        parts.append(f"concurrency {_join(request.instances)}")
    if request.threads != (0,):
        parts.append(f"{_join(request.threads)} threads")
    scenario = request.scenario
    suffix = f" in scenario {scenario}" if scenario != Scenario.CLOSED_LOOP else ""
    points = len(benchmark_points(request))
    count = f" ({points} combinations)" if len(parts) > 1 and points > 1 else ""
    return " x ".join(parts) + count + suffix


def _join(values: tuple[int, ...]) -> str:
    return ", ".join(str(value) for value in values)


def _images_phrase(requested: int | None, dataset: str, datasets: AvailableDatasets) -> str:
    """`20 images of v20`: the requested number, or all if the dataset has fewer."""
    available = datasets.count_images(dataset)
    if available is None and dataset in images.BUILTIN:
        available = images.BUILTIN[dataset].images
    counts = [count for count in (requested, available) if count]
    return f"{min(counts):,} images of {dataset}" if counts else dataset


def _build_phrase(request: RunRequest, precision: Precision, datasets: AvailableDatasets) -> str:
    """`, calibrated on 300 images of v20`: the options of the build of a precision."""
    options, dataset = options_of(precision), request.images_for(precision)
    if options is None or dataset is None:
        return options.phrase_without_images if options else ""
    return options.phrase(request, _images_phrase(request.calibration_images, dataset, datasets))


def _preprocessing_phrase(request: RunRequest, model: CatalogModel) -> str:
    changes = request.evaluation_preprocess
    if not changes:
        return ""
    try:
        exported = PreprocessSpec.from_dict(request.preprocess) if request.preprocess else None
        exported = exported or model.preprocess
        text = (
            exported.with_overrides(changes).summary()
            if exported
            else f"other {', '.join(changes)}"
        )
    except WorkbenchError:
        return ""
    return f", with a preprocessing other than that of the export: {text}"


def _weights_phrase(request: RunRequest, model: CatalogModel) -> str:
    registered = find_registered(model)
    key = f", set {request.weights.key}" if request.weights.key else ""
    if request.weights.kind == WeightsKind.PRETRAINED and registered is not None:
        return f"weights {registered.origin}{key}"
    if request.weights.kind == WeightsKind.FILE:
        return f"the weights of {Path(request.weights.path or '').name}{key}"
    return f"{request.weights.kind} weights{key}"
