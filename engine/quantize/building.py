"""The int8 build: calibration images, what stays in float, the model, and its report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from db.enums import WeightsKind
from db.tables import Artifact
from engine import artifacts, environment, onnx_graph
from engine.accuracy.per_image import images_digest
from engine.config import settings
from engine.datasets.drawing import draw_by_class
from engine.datasets.reader import DatasetIndex, open_index, read_batches
from engine.datasets.register import find_dataset
from engine.errors import BuildFailed, InvalidRequest
from engine.files import write_text
from engine.jobs.context import JobContext
from engine.quantize import mixing, recipe
from engine.quantize.known import Known, Subject
from engine.quantize.mixing import Bound, Mixed
from engine.quantize.recipe import Calibration
from engine.quantize.report import report_of
from engine.quantize.seen import held_out, write_seen
from engine.quantize.sessions import session_of
from engine.specs import CalibrationSpec

BATCH = 16
REPORT_IMAGES = 16
CHANGED_IMAGES = 64
BOUND_IMAGES = 2_000
BOUND_SEED = 1
SHOWN = 5


def build(
    model: ModelProto, export: Artifact, asked: CalibrationSpec, path: Path, context: JobContext
) -> dict[str, Any]:
    """Writes the int8 model of `model` to `path`; returns what is said of it in the manifest."""
    dataset = find_dataset(asked.dataset, context.url)
    images = _Images(open_index(dataset), export)
    drawn = draw_by_class(images.index.labels, asked.images, asked.seed)
    _say_what_is_drawn(images.index, drawn, asked, context)
    context.stage(f"Calibrating on {len(drawn)} images of {dataset.name}.")
    how = Calibration(
        images=lambda: images.batches(drawn),
        mode=asked.mode,
        percentile=asked.percentile,
        threads=settings().threads,
        progress=lambda stage, seen: context.progress(seen, len(drawn), "images", stage),
        count=len(drawn),
        known=Known(_subject(export, images, drawn), context.say),
    )
    mixed = _mixed(model, export, asked, images, drawn, how, context)
    context.stage("Looking at every layer.")
    onnx_graph.save(mixed.model, path)
    report = report_of(
        model,
        mixed,
        images.one_by_one(drawn[:REPORT_IMAGES]),
        settings().threads,
        recipe.largest_weight(environment.instruction_sets()),
    )
    report["changed_classes"] = _changed(model, mixed.model, images, drawn[:CHANGED_IMAGES])
    write_text(path.parent / artifacts.REPORT_FILE, json.dumps(report, indent=1))
    searched = _others(images.index, drawn) if asked.max_drop is not None else drawn[:0]
    write_seen(path.parent, images.index, drawn, searched)
    _say_what_is_constant(mixed, context)
    return {
        "quantisation": {**mixed.facts, "macs_in_int8": report["macs_in_int8"]},
        "calibration": {
            **asked.to_json(),
            "images": len(drawn),
            "images_asked": asked.images,
            "images_searched": len(searched),
            "classes": len(np.unique(images.index.labels[drawn])),
            "dataset_digest": dataset.digest,
        },
    }


def _mixed(
    model: ModelProto,
    export: Artifact,
    asked: CalibrationSpec,
    images: _Images,
    drawn: np.ndarray,
    how: Calibration,
    context: JobContext,
) -> Mixed:
    isa = frozenset(environment.instruction_sets())
    forced = _outputs_of(model, asked.keep_in_float)
    meaningful = export.weights_kind != WeightsKind.RANDOM
    few = images.all(drawn[: mixing.EFFECT_IMAGES]) if meaningful else None

    def count(done: int, total: int) -> None:
        context.progress(done, total, "roundings", "Ranking layers")

    if asked.max_drop is None:
        return mixing.by_default(
            model, how, isa, forced, asked.float_share, few, context.say, count
        )
    if few is None:
        raise InvalidRequest("Random weights have no accuracy that could drop: leave out max_drop.")
    bound = _bound(model, asked, images, drawn, how.threads)
    return mixing.within(model, how, isa, forced, asked.float_share, few, bound, context.say, count)


def _bound(
    model: ModelProto, asked: CalibrationSpec, images: _Images, drawn: np.ndarray, threads: int
) -> Bound:
    """Judged on images of the same set that ranges were not taken from."""
    others = _others(images.index, drawn)
    if not len(others):
        raise BuildFailed(
            f"Every image of {images.index.name!r} is calibrated on; none is left to judge the "
            f"drop: calibrate on fewer (--calibration-images) or on a larger set."
        )
    wanted = _classes(model, images, others, threads)
    labels = images.index.labels[others] if len(images.index.classes) > 1 else wanted

    def right(candidate: ModelProto) -> np.ndarray:
        return np.asarray(_classes(candidate, images, others, threads) == labels)

    return Bound(float(asked.max_drop or 0), right, wanted == labels, asked.search_s)


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
    if index.labelled and classes < all_classes:
        context.say(
            f"{classes:,} of {all_classes:,} classes are among the {len(drawn):,} images; "
            f"--calibration-images {all_classes} and more draws from every class."
        )


def _say_what_is_constant(mixed: Mixed, context: JobContext) -> None:
    names = mixed.prepared.facts.get("constant", [])
    if names:
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        context.say(
            f"Behind {len(names)} layers nothing changes over all calibration images ({shown}): "
            f"the weights may be damaged, or the images all alike."
        )


def _subject(export: Artifact, images: _Images, drawn: np.ndarray) -> Subject:
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


def _changed(
    before: ModelProto, after: ModelProto, images: _Images, which: np.ndarray
) -> dict[str, int]:
    """How many of the images get another class than from fp32."""
    threads = settings().threads
    classes = [_classes(model, images, which, threads) for model in (before, after)]
    return {"images": len(which), "changed": int((classes[0] != classes[1]).sum())}


def _classes(model: ModelProto, images: _Images, which: np.ndarray, threads: int) -> np.ndarray:
    session = session_of(model, threads)
    best = [
        session.run(None, {onnx_graph.INPUT: batch})[0].argmax(axis=1)
        for batch in images.batches(which)
    ]
    return np.concatenate(best)


class _Images:
    """Prepared images of one dataset, as the export wants them."""

    def __init__(self, index: DatasetIndex, export: Artifact) -> None:
        self.index = index
        self.preprocess = artifacts.preprocess_of(export)

    def batches(self, which: np.ndarray) -> Iterator[np.ndarray]:
        """float32 (n, 3, crop, crop), n at most BATCH."""
        return read_batches(self.index, which, self.preprocess, BATCH, settings().threads)

    def one_by_one(self, which: np.ndarray) -> Iterator[np.ndarray]:
        """float32 (1, 3, crop, crop)."""
        return read_batches(self.index, which, self.preprocess, 1, settings().threads)

    def all(self, which: np.ndarray) -> np.ndarray:
        """float32 (n, 3, crop, crop)."""
        return np.concatenate(list(self.batches(which)))
