"""The int8 build: calibration, mixed precision, accuracy constraint, and the layer report."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import ModelProto

from db.enums import WeightsKind
from db.models import Artifact
from engine.build.builders import Source
from engine.build.int8 import targets
from engine.build.int8.accuracy_control import search
from engine.build.int8.accuracy_control.bound import AGREEMENT, TOP1, AccuracyConstraint
from engine.build.int8.accuracy_control.checkpoint import SearchCheckpoint, checkpoint_path
from engine.build.int8.accuracy_control.expected_drop import score_margins
from engine.build.int8.calibration_data import BATCH, CalibrationImages
from engine.build.int8.calibration_overlap import select_held_out, write_build_images
from engine.build.int8.channel_factors import save_factors
from engine.build.int8.class_changes import compare_top1
from engine.build.int8.merged_groups.choice import merge_grouped_convolutions
from engine.build.int8.mixed_precision import mixed_precision
from engine.build.int8.mixed_precision.mixed_precision import HostTimer, MixedPrecisionBuild
from engine.build.int8.pipeline import Calibration
from engine.build.int8.qdq.placement import WEIGHTED_OPS
from engine.build.int8.report import create_report
from engine.build.int8.stages import BuildProgress, Stage, StageTimes
from engine.build.int8.statistics.cache import StatisticsCache, StatisticsSource
from engine.build.int8.statistics.channel_statistics import SampleScores
from engine.build.int8.statistics.histograms import MSE_IMAGES
from engine.build.int8.targets import Target
from engine.common import environment
from engine.common.digests import images_digest
from engine.common.files import write_text
from engine.common.scores import drop_background
from engine.common.stats import is_chance_level
from engine.config import settings
from engine.datasets.classes import match_outputs
from engine.datasets.reader import DatasetIndex, open_index
from engine.datasets.registration import find_dataset
from engine.datasets.sampling import sample_by_class
from engine.errors import BuildFailed, InvalidRequest, LabelsMismatch
from engine.jobs.context import JobContext
from engine.onnx import graph_io
from engine.specs import CPU_PROVIDER, BiasCorrection, CalibrationSpec
from engine.store import artifacts
from engine.store.int8_report import ChangedClasses, Int8Report
from engine.store.manifest import BuildDetails, CalibrationFacts

REPORT_IMAGES = 8
SAMPLE_IMAGES = 64
"""So many calibration images, drawn at random, are kept in memory: layers are ranked and reported,
and classes compared, on them or on the first of them."""
SEARCH_IMAGES = 2_000
SEARCH_SEED = 1
MAX_NAMES = 5


def build(source: Source, path: Path, context: JobContext) -> BuildDetails:
    """Writes the int8 model to `path`; returns its details for the manifest.

    A stopped search is resumed; its checkpoint is stored under the digest of the build's recipe.
    """
    model, export, calibration_spec = source.model, source.export, source.spec.calibration
    if calibration_spec is None:
        raise BuildFailed("int8 needs a calibration dataset.")
    _require_layers(model, export)
    dataset = find_dataset(calibration_spec.dataset, context.url)
    images = CalibrationImages(open_index(dataset), export)
    indices = sample_by_class(images.index.labels, calibration_spec.images, calibration_spec.seed)
    _log_calibration_set(images.index, indices, calibration_spec, context)
    context.stage(f"Calibrating on {len(indices)} images of {dataset.name}.")
    times = StageTimes()
    shuffled = np.random.default_rng(calibration_spec.seed).permutation(indices)
    with times.measure(Stage.IMAGES):
        sample = images.load(shuffled[:SAMPLE_IMAGES])
    progress = BuildProgress(
        context.progress, _expected_inferences(model, calibration_spec, sample, indices)
    )
    calibration = Calibration(
        images=lambda: _sample_first(images, sample, shuffled),
        method=calibration_spec.mode,
        percentile=calibration_spec.percentile,
        threads=settings().threads,
        progress=progress.update,
        image_count=len(indices),
        statistics_cache=StatisticsCache(_statistics_source(export, images, indices), context.say),
        times=times,
        scores=SampleScores(len(sample)),
        bias_images=sample if calibration_spec.bias_correction == BiasCorrection.ACCURATE else None,
    )
    mixed = _mixed(
        model,
        export,
        calibration_spec,
        images,
        indices,
        sample,
        calibration,
        context,
        source.recipe,
    )
    with times.measure(Stage.GROUPS):
        mixed = _merge_groups(mixed, context)
    with times.measure(Stage.WRITING):
        graph_io.save(mixed.model, path)
        save_factors(path.parent, mixed.prepared.channel_factors)
    report = _write_report(model, mixed, images, sample, calibration, path.parent, context)
    search_indices = (
        _search_images(images.index, indices)
        if calibration_spec.max_drop is not None
        else indices[:0]
    )
    write_build_images(path.parent, images.index, indices, search_indices)
    _log_constant_layers(mixed, context)
    calibration_facts = calibration_spec.to_json() | {
        "images": len(indices),
        "images_asked": calibration_spec.images,
        "images_searched": len(search_indices),
        "classes": len(np.unique(images.index.labels[indices])),
        "dataset_digest": dataset.digest,
    }
    return BuildDetails(
        quantization=mixed.facts.model_copy(update={"macs_in_int8": report.macs_in_int8}),
        calibration=CalibrationFacts(**calibration_facts),
    )


def _write_report(
    model: ModelProto,
    mixed: MixedPrecisionBuild,
    images: CalibrationImages,
    sample: np.ndarray,
    calibration: Calibration,
    folder: Path,
    context: JobContext,
) -> Int8Report:
    """The report of the layers and of changed classes, written beside the model."""
    times, progress = calibration.times, calibration.progress
    context.stage("Analyzing layers.")
    progress(Stage.REPORT, 0.0)
    with times.measure(Stage.REPORT):
        single_images = (image[None] for image in sample[:REPORT_IMAGES])
        report = create_report(model, mixed, single_images, settings().threads)
    progress(Stage.COMPARISON, 0.0)
    with times.measure(Stage.COMPARISON):
        changed = compare_top1(
            _fp32_scores(model, images, sample, calibration),
            images.predict_loaded(mixed.model, sample, settings().threads),
        )
    counts = ChangedClasses(images=changed.images, changed=changed.changed)
    report = report.model_copy(update={"changed_classes": counts, "stages": times.facts()})
    if changed.are_many:
        context.say(changed.warning())
    write_text(folder / artifacts.REPORT_FILE, json.dumps(report.dump(), indent=1))
    return report


def _sample_first(
    images: CalibrationImages, sample: np.ndarray, shuffled: np.ndarray
) -> Iterator[np.ndarray]:
    """Batches of all calibration images; the first are `sample`, which is in memory."""
    for start in range(0, len(sample), BATCH):
        yield sample[start : start + BATCH]
    if len(shuffled) > len(sample):
        yield from images.batches(shuffled[len(sample) :])


def _fp32_scores(
    model: ModelProto, images: CalibrationImages, sample: np.ndarray, calibration: Calibration
) -> np.ndarray:
    """Scores of fp32 on `sample`: from the statistics pass where there was one, else computed."""
    kept = calibration.scores.all() if calibration.scores is not None else None
    if kept is None:
        return images.predict_loaded(model, sample, settings().threads)
    return drop_background(kept, images.background)


def _expected_inferences(
    model: ModelProto, calibration_spec: CalibrationSpec, sample: np.ndarray, indices: np.ndarray
) -> dict[Stage, int]:
    """Inferences by stage, for the progress; the candidates of a search are counted by themselves.

    The sensitivity is counted as if it were analyzed; where it is not, the build ends earlier.
    """
    layers = sum(node.op_type in WEIGHTED_OPS for node in model.graph.node)
    ranges = {"max": 0, "mse": min(MSE_IMAGES, len(indices))}
    return {
        Stage.STATISTICS: len(indices),
        Stage.RANGES: ranges.get(calibration_spec.mode, len(indices)),
        Stage.SENSITIVITY: (layers + 2) * mixed_precision.ANALYSIS_IMAGES,
        Stage.BIASES: len(sample) * (calibration_spec.bias_correction == BiasCorrection.ACCURATE),
        Stage.REPORT: REPORT_IMAGES,
        Stage.COMPARISON: len(sample),
    }


def _require_layers(model: ModelProto, export: Artifact) -> None:
    """Raises BuildFailed for a model without a convolution or Gemm with constant weights."""
    constants = {tensor.name for tensor in model.graph.initializer}
    if not any(
        node.op_type in WEIGHTED_OPS and node.input[1] in constants for node in model.graph.node
    ):
        raise BuildFailed(
            f"{export.model_id} has no convolution and no Gemm with constant weights, so there is "
            f"nothing to quantize: choose fp32 or fp16."
        )


def _mixed(
    model: ModelProto,
    export: Artifact,
    calibration_spec: CalibrationSpec,
    images: CalibrationImages,
    indices: np.ndarray,
    sample: np.ndarray,
    calibration: Calibration,
    context: JobContext,
    key: str,
) -> MixedPrecisionBuild:
    meaningful = export.weights_kind != WeightsKind.RANDOM
    target = targets.resolve(calibration_spec.target, environment.instruction_sets())
    context.say(f"int8 target {target.summary}: {target.why}.")
    request = mixed_precision.MixedPrecisionRequest(
        source=model,
        calibration=calibration,
        target=target,
        required_float=_convolution_outputs(model, calibration_spec.keep_in_float),
        float_share=calibration_spec.float_share,
        analysis_images=sample[: mixed_precision.ANALYSIS_IMAGES] if meaningful else None,
        log=context.say,
        progress=context.progress,
        timer=_timer_for(target),
    )
    if calibration_spec.max_drop is None:
        return mixed_precision.build_default(request)
    if not meaningful:
        raise InvalidRequest("Random weights have no accuracy to constrain: leave out max_drop.")
    constraint = _constraint(model, calibration_spec, images, indices, calibration.threads)
    checkpoint = SearchCheckpoint.load(checkpoint_path(key))
    if checkpoint.steps:
        count = len(checkpoint.steps)
        context.say(
            f"Resuming a stopped search: {count} step{'s' * (count > 1)} already evaluated."
        )
    return search.search_float_layers(request, constraint, checkpoint)


def _timer_for(target: Target) -> HostTimer | None:
    """Measures on this machine if it is of the kind that the target is for."""
    detected = targets.detect_target(
        environment.instruction_sets(), CPU_PROVIDER, platform.machine()
    )
    return HostTimer() if target.name == detected.name else None


def _merge_groups(mixed: MixedPrecisionBuild, context: JobContext) -> MixedPrecisionBuild:
    """Merges grouped convolutions in place, at the end: scores do not change."""
    merged = merge_grouped_convolutions(
        mixed.model, mixed.prepared.placement.view, mixed.target, context.say
    )
    if merged is None:
        return mixed
    return replace(mixed, facts=mixed.facts.model_copy(update={"merged_groups": merged}))


def _constraint(
    model: ModelProto,
    calibration_spec: CalibrationSpec,
    images: CalibrationImages,
    indices: np.ndarray,
    threads: int,
) -> AccuracyConstraint:
    """The accuracy constraint, evaluated on images of the dataset that are not calibrated on."""
    index = images.index
    held_out_images = _search_images(index, indices)
    if not len(held_out_images):
        raise BuildFailed(
            f"All images of {index.name!r} are used for calibration, so none is left to evaluate "
            f"the accuracy drop: use fewer (--calibration-images) or a larger dataset."
        )
    started = time.monotonic()
    scores = images.predict(model, held_out_images, threads)
    evaluation_s = time.monotonic() - started
    predicted = scores.argmax(axis=1)
    labeled = len(index.classes) > 1
    labels = predicted
    if labeled:
        outputs = scores.shape[1]
        matching = match_outputs("The model", outputs, None, index.name, index.all_classes)
        labels = matching.outputs_of_labels(index.labels[held_out_images])
    if labeled and is_chance_level(int((predicted == labels).sum()), len(labels), scores.shape[1]):
        raise LabelsMismatch(
            f"The accuracy of fp32 on {index.name!r} is not better than chance: labels or class "
            f"order do not match, so an accuracy drop cannot be evaluated. Calibrate on a dataset "
            f"of the model's classes, or without labels (agreement with fp32 is then constrained)."
        )

    def margins(candidate: ModelProto, progress: Callable[[int, int], None]) -> np.ndarray:
        return score_margins(images.predict(candidate, held_out_images, threads, progress), labels)

    metric = TOP1 if labeled else AGREEMENT
    reference = score_margins(scores, labels)
    return AccuracyConstraint(
        float(calibration_spec.max_drop or 0),
        margins,
        reference,
        calibration_spec.search_s,
        metric,
        evaluation_s,
    )


def _search_images(index: DatasetIndex, indices: np.ndarray) -> np.ndarray:
    """The images on which the accuracy constraint is evaluated."""
    return select_held_out(index.labels, indices, SEARCH_IMAGES, SEARCH_SEED)


def _log_calibration_set(
    index: DatasetIndex, indices: np.ndarray, calibration_spec: CalibrationSpec, context: JobContext
) -> None:
    if len(indices) < calibration_spec.images:
        context.say(
            f"Only {len(indices):,} calibration images, {calibration_spec.images:,} were "
            f"requested: {index.name} has no more."
        )
    classes, all_classes = len(np.unique(index.labels[indices])), len(np.unique(index.labels))
    if index.labeled and classes < all_classes:
        context.say(
            f"The {len(indices):,} calibration images cover {classes:,} of {all_classes:,} "
            f"classes; --calibration-images {all_classes} or more covers every class."
        )


def _log_constant_layers(mixed: MixedPrecisionBuild, context: JobContext) -> None:
    names = mixed.prepared.facts.constant
    if names:
        shown = ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")
        context.say(
            f"The output of {len(names)} layers is constant over all calibration images ({shown}): "
            f"the weights may be damaged, or all images may be the same."
        )


def _statistics_source(
    export: Artifact, images: CalibrationImages, indices: np.ndarray
) -> StatisticsSource:
    return StatisticsSource(
        model_id=export.model_id,
        export=export.digest,
        dataset_name=images.index.name,
        dataset=images.index.digest,
        images=images_digest(indices),
        count=len(indices),
        preprocess=images.preprocess.digest(),
    )


def _convolution_outputs(model: ModelProto, positions: tuple[int, ...]) -> frozenset[str]:
    """Outputs of the convolutions at these positions, counted from 0 in graph order."""
    outputs = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    out_of_range = [position for position in positions if position >= len(outputs)]
    if out_of_range:
        raise BuildFailed(
            f"Convolution {out_of_range[0]} cannot be excluded from quantization: the model has "
            f"{len(outputs)} convolutions, counted from 0."
        )
    return frozenset(outputs[position] for position in positions)
