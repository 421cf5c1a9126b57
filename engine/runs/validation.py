"""Checks of a request before it is queued: problems that stop the run, warnings, notes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache

import numpy as np

from db.enums import Precision, WeightsKind
from db.models import Dataset
from engine.build.fp16.execution import EMULATED, expected
from engine.build.int8 import targets
from engine.build.int8.saturation import overflow_warning_for
from engine.catalog.models import CatalogModel
from engine.catalog.timm_names import timm_name_problem
from engine.common.environment import instruction_sets
from engine.common.files import expand_user, is_file
from engine.config import settings
from engine.datasets.available import AvailableDatasets
from engine.datasets.classes import ClassMatching, match_outputs
from engine.datasets.imagenet import class_names
from engine.datasets.reader import open_index_by_digest
from engine.datasets.report import DatasetReport
from engine.datasets.sampling import sample_by_class
from engine.errors import LabelsMismatch, WorkbenchError
from engine.export.routes import find_program, require_environment, require_route
from engine.preprocess import PreprocessSpec, require_one_scale
from engine.runs.build_options import options_of
from engine.runs.calibration_likeness import differences
from engine.runs.cells import cells_of, file_check
from engine.runs.request import (
    BUILTIN_CALIBRATION,
    BUILTIN_DATASETS,
    RunRequest,
    Task,
    benchmark_points,
)
from engine.runtimes.registry import RUNTIMES
from engine.specs import TargetName, scenario_problem
from engine.specs.precisions import OPENVINO
from engine.text import quoted
from engine.weights.formats import weights_format_problem

IMAGENET_CLASSES = len(class_names())
Z_95 = 1.96
MAX_THREADS_PER_CORE = 2  # above it, latency is mostly waiting for a core
SEED = 0
"""Seed by which builds and evaluations sample images."""
Check = Callable[[RunRequest, CatalogModel, AvailableDatasets], Iterator[str]]
"""Yields a sentence for each finding."""


def match_dataset_classes(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> ClassMatching | None:
    """The mapping of model outputs to classes of the dataset; None where it is not known yet.

    It is known for pretrained weights of the catalog, and for an ONNX file that declares its
    classes. Raises LabelsMismatch where there is none.
    """
    outputs = _count_outputs(request, model)
    if not request.dataset or outputs is None or Task.EVALUATE not in request.tasks:
        return None
    classes = datasets.classes_of(request.dataset)
    if classes is None:
        return None
    return match_outputs(model.id, outputs, request.background, request.dataset, classes)


def _count_outputs(request: RunRequest, model: CatalogModel) -> int | None:
    """The number of outputs of a model before its export; None where it is not known."""
    if model.in_catalogue and request.weights.kind == WeightsKind.PRETRAINED:
        return IMAGENET_CLASSES
    facts = file_check(request).facts
    return facts.classes if facts is not None and request.output is None else None


def _check_choices(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    if not request.precisions:
        yield "Select at least one precision."
    if not request.tasks:
        yield "Select at least one task."
    if Task.BENCHMARK not in request.tasks:
        return
    if not (request.batches and request.threads and request.instances):
        yield "Select at least one batch size, one concurrency and one number of threads."
    yield from scenario_problems(request)


def _check_weights(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    weights = request.weights
    foreign = model.source == "timm" and not model.in_catalogue
    if foreign and (problem := timm_name_problem(model.name)):
        yield problem
    if weights.kind == WeightsKind.FILE:
        path = expand_user(weights.path or "")
        if not is_file(path):
            yield f"The weights file {weights.path} does not exist."
        elif model.source != "onnx" and (problem := weights_format_problem(path)):
            yield problem
    if weights.key is not None and model.source in ("onnx", "demo"):
        yield f"{model.id} has one set of weights: leave the weights key empty."
    if model.source == "onnx" and weights.kind != WeightsKind.FILE:
        yield "An ONNX model needs its file: give the ONNX file as weights."
    if problem := file_check(request).problem:
        yield problem
    if weights.kind == WeightsKind.RANDOM and Task.EVALUATE in request.tasks:
        yield "Random weights measure speed, not accuracy: remove the task Evaluate."


def _check_datasets(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    uses = {}
    if Task.EVALUATE in request.tasks:
        if not request.dataset:
            yield "Evaluate needs a dataset: select one, or add one: `dataset add NAME FOLDER`."
        uses["evaluate on"] = request.dataset
    if request.measures_files:
        uses["measure end to end on"] = request.dataset
    for precision in request.built_precisions:
        if options := options_of(precision):
            uses[options.purpose] = request.images_for(precision)
    for name in dict.fromkeys(filter(None, uses.values())):
        if name not in datasets and name not in BUILTIN_DATASETS:
            purposes = [purpose for purpose, dataset in uses.items() if dataset == name]
            yield (
                f"There is no dataset {name!r} to {' and '.join(purposes)}: add it with "
                f"`dataset add {name} FOLDER`."
            )


def _check_classes(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    try:
        match_dataset_classes(request, model, datasets)
    except LabelsMismatch as error:
        yield str(error)


def _check_constraint_images(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    name = request.effective_calibration_dataset
    images = datasets.count_images(name)
    if request.max_drop is None or Precision.INT8 not in request.built_files or not images:
        return
    if images <= request.calibration_images:
        yield (
            f"Calibration uses all {images:,} images of {name}, so none "
            f"remains to check the accuracy constraint. Calibrate on fewer images "
            f"(--calibration-images) or on a larger dataset."
        )


def _check_preprocessing(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    try:
        exported = PreprocessSpec.from_dict(request.preprocess) if request.preprocess else None
        if request.preprocess:
            # Every network with a published preprocessing divides pixels by 255.
            require_one_scale(
                (model.preprocess or PreprocessSpec()).with_overrides(request.preprocess)
            )
        exported = exported or model.preprocess
        evaluated = (exported or PreprocessSpec()).with_overrides(request.evaluation_preprocess)
        if request.evaluation_preprocess:
            require_one_scale(evaluated)
    except WorkbenchError as error:
        yield str(error)
        return
    if exported is not None and exported.crop != evaluated.crop:
        yield (
            f"{model.id} is exported for {exported.crop} x {exported.crop} pixels and cannot be "
            f"evaluated at {evaluated.crop} x {evaluated.crop}: set that preprocessing for the "
            f"whole run."
        )


def _check_route(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    try:
        require_route(model, request.format, request.via)
        if request.via == "paddle2onnx":
            find_program(expand_user(request.weights.path or ""))
            require_environment()
    except WorkbenchError as error:
        yield str(error)
    if request.format != "onnx" and set(request.tasks) != {Task.EXPORT}:
        yield "TorchScript can only be exported: builds and measurements need format onnx."


def _check_runtime(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    """Impossible cells stop a run only where no cell is possible; else they are left out."""
    unknown = [name for name in request.runtimes if name not in RUNTIMES]
    if unknown:
        yield f"There is no runtime {quoted(unknown[0])}: choose {' or '.join(RUNTIMES)}."
        return
    if file_check(request).problem is not None:  # told with the weights
        return
    cells = cells_of(request)
    if cells.reasons and not cells.possible:
        yield from dict.fromkeys(cells.reasons.values())
    elif Task.PROFILE in request.tasks:
        without = [r for r in request.runtimes if not RUNTIMES[r].profiles]
        if len(without) == len(request.runtimes):
            yield f"Runtime {without[0]} has no profiler: remove the task Profile."


def _warn_about_cells(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    if any(name not in RUNTIMES for name in request.runtimes):
        return
    cells = cells_of(request)
    if cells.possible:
        yield from cells.left_out()
    without = [r for r in request.runtimes if not RUNTIMES[r].profiles]
    if Task.PROFILE in request.tasks and 0 < len(without) < len(request.runtimes):
        yield f"Not profiled: {', '.join(without)} has no profiler."


PROBLEM_CHECKS: tuple[Check, ...] = (
    _check_choices,
    _check_runtime,
    _check_weights,
    _check_datasets,
    _check_constraint_images,
    _check_classes,
    _check_preprocessing,
    _check_route,
)


def scenario_problems(request: RunRequest) -> Iterator[str]:
    """Why combinations of the sweep cannot be measured in the scenario; each reason once."""
    reasons = (
        scenario_problem(
            request.scenario,
            point.batch,
            point.instances,
            request.rate_per_s,
            request.limit_ms,
            request.dataset,
        )
        for point in benchmark_points(request)
    )
    yield from dict.fromkeys(reason for reason in reasons if reason is not None)


def _warn_about_calibration(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    if Precision.INT8 not in request.built_files:
        return
    name = request.effective_calibration_dataset
    calibration, images = datasets.get(name), datasets.count_images(name)
    if images is not None and images < request.calibration_images:
        yield (
            f"int8 is calibrated on {images:,} images, not {request.calibration_images:,}: {name} "
            f"has no more."
        )
    evaluation = datasets.get(request.dataset or "") if Task.EVALUATE in request.tasks else None
    shared = count_shared_images(request, calibration, evaluation)
    if shared:
        yield (
            f"Overlap with the calibration set: int8 is calibrated on {shared:,} of the images of "
            f"{request.dataset} that it is evaluated on, so its accuracy may be slightly too "
            f"high. The result also gives the accuracy without them. To avoid it, select another "
            f"calibration dataset."
        )
    if calibration is not None and evaluation is not None:
        yield from differences(calibration, evaluation, request.calibration_images)
    if request.effective_calibration_dataset == BUILTIN_CALIBRATION and model.source != "demo":
        yield (
            "int8 is calibrated on synthetic images, not photographs: its speed is valid, its "
            "accuracy is not. Select a calibration dataset."
        )


def _note_fp16_emulation(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    execution = expected(request.provider)
    if Precision.FP16 in request.built_precisions and execution.kind == EMULATED:
        yield (
            f"fp16 is emulated on this CPU: correct and half the size, but not faster; "
            f"{execution.why}."
        )


def _warn_about_preprocessing(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    if model.source == "onnx" and not (request.preprocess or request.evaluation_preprocess):
        yield (
            "An ONNX file does not contain its preprocessing: ImageNet mean and std and a 7/8 "
            "center crop are assumed. A wrong preprocessing lowers the accuracy; set it if you "
            "know it."
        )


def _warn_about_points(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    if Task.BENCHMARK in request.tasks:
        yield from point_warnings(request)


def _warn_about_target(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    if Precision.INT8 not in request.built_files:
        return
    isa = instruction_sets()
    target = targets.resolve(request.target, isa, request.provider)
    if not target.is_verified:
        yield (
            f"int8 for {target.name} follows the vendor's rules, and its scores were verified on "
            f"an x86 processor; it was never tested on {target.name} hardware."
        )
    if OPENVINO in request.runtimes and target.activations != targets.Activations.UNSIGNED:
        yield (
            f"int8 for {target.name} has signed activations, and OpenVINO on x86 computes some "
            f"networks with a Concat wrongly from them, such as SqueezeNet: check the build with "
            f"`layers`, or choose the target auto for OpenVINO."
        )
    overflow = overflow_warning_for(target.name, isa)
    if overflow is not None:
        yield f"{overflow}."
    native = targets.resolve(TargetName.AUTO, isa, request.provider)
    if Task.BENCHMARK in request.tasks and target.name != native.name:
        yield (
            f"int8 for {target.name} is benchmarked on {native.name}: its speed on this machine "
            f"does not predict its speed on {target.name}."
        )


def _warn_about_dataset(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    if Task.EVALUATE not in request.tasks:
        return
    with suppress(LabelsMismatch):  # reported as a problem
        matching = match_dataset_classes(request, model, datasets)
        if matching is not None and matching.assumed:
            yield matching.assumed
    dataset = datasets.get(request.dataset)
    if dataset is not None and (corrupt := DatasetReport.of(dataset).corrupt):
        yield f"{corrupt} images of {dataset.name} cannot be read and are skipped."


def _note_interval(
    request: RunRequest, model: CatalogModel, datasets: AvailableDatasets
) -> Iterator[str]:
    count = datasets.count_images(request.dataset)
    if not count or Task.EVALUATE not in request.tasks:
        return
    images = min(count, request.limit or count)
    half_width_pp = 100 * Z_95 * math.sqrt(0.8 * 0.2 / images)
    if half_width_pp > 0.5:
        yield f"{images:,} images: top-1 within about ±{half_width_pp:.1f} pp (95 % interval)."


WARNING_CHECKS: tuple[Check, ...] = (
    _warn_about_cells,
    _warn_about_calibration,
    _warn_about_preprocessing,
    _warn_about_target,
    _warn_about_dataset,
    _warn_about_points,
)
NOTE_CHECKS: tuple[Check, ...] = (_note_fp16_emulation, _note_interval)


def point_warnings(request: RunRequest, cores: int | None = None) -> Iterator[str]:
    """Duplicate combinations, and combinations with many more threads than `cores`."""
    cores = cores or settings().threads
    points = benchmark_points(request, cores)
    requested = len(request.batches) * len(request.instances) * len(request.threads)
    if len(points) < requested:
        yield (
            f"{requested - len(points)} of {requested} combinations are duplicates and not "
            f"measured again: 0 threads means {cores} cores divided by the concurrency."
        )
    crowded = [
        p
        for p in points
        if p.instances * p.threads_per_request(cores) > MAX_THREADS_PER_CORE * cores
    ]
    if crowded:
        worst = max(crowded, key=lambda p: p.instances * p.threads_per_request(cores))
        yield (
            f"{len(crowded)} of {len(points)} combinations use more than "
            f"{MAX_THREADS_PER_CORE * cores} threads on {cores} cores (up to concurrency "
            f"{worst.instances} x {worst.threads_per_request(cores)} threads): their latency is "
            f"mostly waiting for a core."
        )


def count_shared_images(
    request: RunRequest, calibration: Dataset | None, evaluation: Dataset | None
) -> int:
    """Number of files used by both, for datasets of one folder; 0 where one is not registered.

    Copies in other folders are found by the evaluation, by content.
    """
    if calibration is None or evaluation is None or calibration.root != evaluation.root:
        return 0
    counts = request.calibration_images, request.limit
    return _count_shared(calibration.digest, evaluation.digest, *counts, settings().url)


@lru_cache(maxsize=32)
def _count_shared(
    calibration: str, evaluation: str, calibrated: int, evaluated: int | None, url: str
) -> int:
    try:
        return len(
            _sample_files(calibration, calibrated, url) & _sample_files(evaluation, evaluated, url)
        )
    except WorkbenchError:
        return 0


def _sample_files(digest: str, count: int | None, url: str) -> set[str]:
    index = open_index_by_digest(digest, url)
    indices = np.arange(len(index))
    if count is not None and count < len(index):
        indices = sample_by_class(index.labels, count, SEED)
    return {index.files[int(i)] for i in indices}
