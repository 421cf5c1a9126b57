"""The int8 build: calibration images, what stays in float, the model, and its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto

from db.enums import WeightsKind
from db.models import Artifact
from engine.build.int8 import targets
from engine.build.int8.accuracy_control import search
from engine.build.int8.accuracy_control.bound import AGREEMENT, TOP1, Bound
from engine.build.int8.accuracy_control.checkpoint import Journal, journal_path
from engine.build.int8.accuracy_control.expected_drop import margins_of
from engine.build.int8.calibration_data import PreparedImages
from engine.build.int8.calibration_overlap import held_out, write_seen
from engine.build.int8.mixed_precision import mixed_precision
from engine.build.int8.mixed_precision.mixed_precision import Mixed
from engine.build.int8.pipeline import Calibration
from engine.build.int8.qdq.placement import WEIGHTED
from engine.build.int8.report import report_of
from engine.build.int8.statistics.cache import Known, Subject
from engine.common import environment
from engine.common.digests import images_digest
from engine.common.files import write_text
from engine.common.stats import is_chance_level
from engine.config import settings
from engine.datasets.classes import match_outputs
from engine.datasets.reader import DatasetIndex, open_index
from engine.datasets.registration import find_dataset
from engine.datasets.sampling import draw_by_class
from engine.errors import BuildFailed, InvalidRequest, LabelsMismatch
from engine.jobs.context import JobContext
from engine.onnx import graph_io
from engine.specs import CalibrationSpec
from engine.store import artifacts
from engine.store.int8_report import Top1Flips
from engine.store.manifest import BuildDetails, CalibrationFacts

REPORT_IMAGES = 16
CHANGED_IMAGES = 64
MANY_CHANGED = 1 / 8
"""Of the images; with more, the build's log says why their class changes."""
BOUND_IMAGES = 2_000
BOUND_SEED = 1
SHOWN = 5


def build(
    model: ModelProto,
    export: Artifact,
    asked: CalibrationSpec,
    path: Path,
    context: JobContext,
    key: str,
) -> BuildDetails:
    """Writes the int8 model of `model` to `path`; returns what is said of it in the manifest.

    `key` is the build's recipe: a search that was stopped goes on where it was.
    """
    _require_layers(model, export)
    dataset = find_dataset(asked.dataset, context.url)
    images = PreparedImages(open_index(dataset), export)
    drawn = draw_by_class(images.index.labels, asked.images, asked.seed)
    _say_what_is_drawn(images.index, drawn, asked, context)
    context.stage(f"Calibrating on {len(drawn)} images of {dataset.name}.")
    mixed_up = np.random.default_rng(asked.seed).permutation(drawn)
    how = Calibration(
        images=lambda: images.batches(mixed_up),
        mode=asked.mode,
        percentile=asked.percentile,
        threads=settings().threads,
        progress=lambda stage, seen: context.progress(seen, len(drawn), "images", stage),
        count=len(drawn),
        known=Known(_subject(export, images, drawn), context.say),
    )
    mixed = _mixed(model, export, asked, images, drawn, how, context, key)
    context.stage("Looking at every layer.")
    graph_io.save(mixed.model, path)
    report = report_of(model, mixed, images.one_by_one(drawn[:REPORT_IMAGES]), settings().threads)
    changed = _changed(model, mixed.model, images, drawn[:CHANGED_IMAGES])
    counted = Top1Flips(images=changed.images, changed=changed.changed)
    report = report.model_copy(update={"changed_classes": counted})
    if changed.changed > MANY_CHANGED * changed.images:
        context.say(changed.sentence())
    write_text(path.parent / artifacts.REPORT_FILE, json.dumps(report.dump(), indent=1))
    searched = _others(images.index, drawn) if asked.max_drop is not None else drawn[:0]
    write_seen(path.parent, images.index, drawn, searched)
    _say_what_is_constant(mixed, context)
    calibration = asked.to_json() | {
        "images": len(drawn),
        "images_asked": asked.images,
        "images_searched": len(searched),
        "classes": len(np.unique(images.index.labels[drawn])),
        "dataset_digest": dataset.digest,
    }
    return BuildDetails(
        quantization=mixed.facts.model_copy(update={"macs_in_int8": report.macs_in_int8}),
        calibration=CalibrationFacts(**calibration),
    )


def _require_layers(model: ModelProto, export: Artifact) -> None:
    """Raises BuildFailed for a network without a convolution or Gemm of constant weights."""
    constants = {tensor.name for tensor in model.graph.initializer}
    if not any(
        node.op_type in WEIGHTED and node.input[1] in constants for node in model.graph.node
    ):
        raise BuildFailed(
            f"{export.model_id} has no convolution and no Gemm with constant weights, so there is "
            f"nothing to compute in integers: choose fp32 or fp16."
        )


def _mixed(
    model: ModelProto,
    export: Artifact,
    asked: CalibrationSpec,
    images: PreparedImages,
    drawn: np.ndarray,
    how: Calibration,
    context: JobContext,
    key: str,
) -> Mixed:
    meaningful = export.weights_kind != WeightsKind.RANDOM
    target = targets.resolve(asked.target, environment.instruction_sets())
    context.say(f"For {target.summary}: {target.why}.")
    request = mixed_precision.Request(
        source=model,
        how=how,
        target=target,
        forced=_outputs_of(model, asked.keep_in_float),
        float_share=asked.float_share,
        images=images.all(drawn[: mixed_precision.EFFECT_IMAGES]) if meaningful else None,
        say=context.say,
        progress=context.progress,
    )
    if asked.max_drop is None:
        return mixed_precision.by_default(request)
    if not meaningful:
        raise InvalidRequest("Random weights have no accuracy that could drop: leave out max_drop.")
    bound = _bound(model, asked, images, drawn, how.threads)
    journal = Journal.open(journal_path(key))
    if journal.steps:
        count = len(journal.steps)
        context.say(
            f"{count} step{'s' * (count > 1)} of this search were judged before it stopped."
        )
    return search.within(request, bound, journal)


def _bound(
    model: ModelProto,
    asked: CalibrationSpec,
    images: PreparedImages,
    drawn: np.ndarray,
    threads: int,
) -> Bound:
    """Judged on images of the same set that ranges were not taken from."""
    index = images.index
    others = _others(index, drawn)
    if not len(others):
        raise BuildFailed(
            f"Every image of {index.name!r} is calibrated on; none is left to judge the "
            f"drop: calibrate on fewer (--calibration-images) or on a larger set."
        )
    scores = images.scores(model, others, threads)
    wanted = scores.argmax(axis=1)
    labeled = len(index.classes) > 1
    labels = wanted
    if labeled:
        outputs = scores.shape[1]
        matching = match_outputs("The network", outputs, None, index.name, index.all_classes)
        labels = matching.output_of(index.labels[others])
    if labeled and is_chance_level(int((wanted == labels).sum()), len(labels), scores.shape[1]):
        raise LabelsMismatch(
            f"fp32 is right on no more images of {index.name!r} than guessing would be: labels or "
            f"class order do not match, and a drop cannot be judged. Calibrate on the model's own "
            f"classes, or on a set without labels (then agreement with fp32 is bounded)."
        )

    def margins(candidate: ModelProto, progress: Callable[[int, int], None]) -> np.ndarray:
        return margins_of(images.scores(candidate, others, threads, progress), labels)

    measure = TOP1 if labeled else AGREEMENT
    reference = margins_of(scores, labels)
    return Bound(float(asked.max_drop or 0), margins, reference, asked.search_s, measure)


def _others(index: DatasetIndex, drawn: np.ndarray) -> np.ndarray:
    """The images that a bounded build is judged on."""
    return held_out(index.labels, drawn, BOUND_IMAGES, BOUND_SEED)


def _say_what_is_drawn(
    index: DatasetIndex, drawn: np.ndarray, asked: CalibrationSpec, context: JobContext
) -> None:
    if len(drawn) < asked.images:
        context.say(
            f"Only {len(drawn):,} images to calibrate on, {asked.images:,} were asked: "
            f"{index.name} has no more."
        )
    classes, all_classes = len(np.unique(index.labels[drawn])), len(np.unique(index.labels))
    if index.labeled and classes < all_classes:
        context.say(
            f"{classes:,} of {all_classes:,} classes are among the {len(drawn):,} images; "
            f"--calibration-images {all_classes} and more draws from every class."
        )


def _say_what_is_constant(mixed: Mixed, context: JobContext) -> None:
    names = mixed.prepared.facts.constant
    if names:
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        context.say(
            f"Behind {len(names)} layers nothing changes over all calibration images ({shown}): "
            f"the weights may be damaged, or the images all alike."
        )


def _subject(export: Artifact, images: PreparedImages, drawn: np.ndarray) -> Subject:
    return Subject(
        model_id=export.model_id,
        export=export.digest,
        dataset_name=images.index.name,
        dataset=images.index.digest,
        images=images_digest(drawn),
        count=len(drawn),
        preprocess=images.preprocess.digest(),
    )


def _outputs_of(model: ModelProto, positions: tuple[int, ...]) -> frozenset[str]:
    """Outputs of the convolutions counted in graph order from 0."""
    found = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    beyond = [position for position in positions if position >= len(found)]
    if beyond:
        raise BuildFailed(
            f"Convolution {beyond[0]} is to stay in float, but the model has {len(found)} "
            f"convolutions, counted from 0."
        )
    return frozenset(found[position] for position in positions)


@dataclass(frozen=True, slots=True)
class Changed:
    """Images whose class int8 changes, and why it could.

    `margin` is the median distance in fp32 between the two best scores of those images, `shift`
    the median of the largest change of a score by rounding over all images.
    """

    images: int
    changed: int
    margin: float
    shift: float

    def sentence(self) -> str:
        """Of a build that changes many."""
        return (
            f"{self.changed} of {self.images} calibration images get another class than in fp32: "
            f"their two best scores are {self.margin:.2g} apart there, and rounding moves scores "
            f"by {self.shift:.2g}. Evaluate this build before it is used; an accuracy constraint "
            f"(--max-drop) keeps more layers in float."
        )


def _changed(
    before: ModelProto, after: ModelProto, images: PreparedImages, which: np.ndarray
) -> Changed:
    """How many of the images get another class than from fp32."""
    threads = settings().threads
    old, new = (images.scores(model, which, threads) for model in (before, after))
    moved = old.argmax(axis=1) != new.argmax(axis=1)
    best = np.sort(old, axis=1)[:, -2:]
    margins = (best[:, -1] - best[:, 0])[moved]
    shift = np.abs(new - old).max(axis=1)
    margin = float(np.median(margins)) if len(margins) else 0.0
    return Changed(len(which), int(moved.sum()), margin, float(np.median(shift)))
