"""Accuracy of one artifact on one dataset: exact, resumable, with every image's result kept.

The images are done in shards that begin at multiples of the batch, so each image meets the same
batch whoever computes it. A shard is one file, renamed when whole; whatever is missing is
computed, then the shards are joined and every figure is taken from the ordered arrays.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from db.enums import Precision, WeightsKind
from db.session import reading, writing
from db.tables import Artifact, Evaluation
from engine import artifacts, environment
from engine.catalog import find_model
from engine.config import settings
from engine.datasets.drawing import draw_by_class
from engine.datasets.reader import DatasetIndex, open_index, read_batches
from engine.datasets.register import find_dataset
from engine.digests import data_digest
from engine.environment import Surroundings
from engine.errors import InvalidRequest, LabelsMismatch
from engine.files import save_arrays
from engine.jobs.context import JobContext
from engine.preprocess import PreprocessSpec
from engine.preprocess.protocols import Protocol, name_of
from engine.resolve import artifact_of
from engine.runtimes.onnx_runtime import OnnxRuntime
from engine.scores import drop_background, rank_of, softmax, top_k
from engine.specs import EvaluateSpec, shard_ranges
from engine.stats import at_chance, wilson_interval

COLUMNS = ("image", "label", "top5", "top5_probability", "rank")
Seen = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Task:
    """One evaluation, resolved: what is run, on which images, prepared how."""

    spec: EvaluateSpec
    artifact: Artifact
    index: DatasetIndex
    images: np.ndarray
    preprocess: PreprocessSpec
    surroundings: Surroundings

    @property
    def recipe(self) -> str:
        """Digest of all that decides the per-image results."""
        return data_digest(
            {
                "artifact": self.artifact.digest,
                "dataset": self.index.digest,
                "limit": self.spec.limit,
                "preprocess": self.preprocess.digest(),
                "batch": self.spec.batch,
                "provider": self.spec.provider,
                "environment": self.surroundings.digest,
            }
        )

    @property
    def folder(self) -> Path:
        """Where the shards of this evaluation gather."""
        return settings().folder("cache") / "evaluations" / self.recipe

    def shards(self) -> list[tuple[int, int]]:
        """(start, stop) covering all images; starts are multiples of the batch."""
        return shard_ranges(len(self.images), self.spec.batch)


def prepare(spec: EvaluateSpec, url: str) -> Task:
    """Resolves and checks; a model of other classes raises LabelsMismatch before any decoding."""
    artifact = artifact_of(spec, url)
    if artifact.weights_kind == WeightsKind.RANDOM:
        raise InvalidRequest(
            f"{artifact.model_id} has random weights: fit to measure speed, never accuracy."
        )
    index = open_index(find_dataset(spec.dataset, url))
    require_same_classes(artifact, index)
    images = np.arange(len(index))
    if spec.limit is not None and spec.limit < len(index):
        images = draw_by_class(index.labels, spec.limit, seed=0)
    preprocess = (
        PreprocessSpec.from_dict(spec.preprocess)
        if spec.preprocess is not None
        else artifacts.preprocess_of(artifact)
    )
    require_same_side(artifact, preprocess)
    return Task(spec, artifact, index, images, preprocess, environment.observe())


def require_same_side(artifact: Artifact, preprocess: PreprocessSpec) -> None:
    """Raises InvalidRequest unless the images are prepared at the size that the model takes."""
    side = artifacts.preprocess_of(artifact).crop
    if preprocess.crop != side:
        raise InvalidRequest(
            f"{artifact.model_id} was exported for {side} x {side} pixels and cannot be evaluated "
            f"at {preprocess.crop} x {preprocess.crop}: export it with that preprocessing "
            f"(`run --protocol` or `--crop`)."
        )


def require_same_classes(artifact: Artifact, index: DatasetIndex) -> None:
    """Raises LabelsMismatch unless the model has one output for each class of the dataset."""
    outputs, background = artifact.manifest["classes"], artifact.manifest.get("background")
    classes = outputs - (background is not None)
    if classes == len(index.classes):
        return
    hint = "they do not mean the same classes."
    if classes == len(index.classes) + 1:
        hint = (
            "one output too many. If output 0 is a background class, as in networks from TF-Hub "
            "and TF-Slim, declare it: --background 0 (on the page: Background class)."
        )
    raise LabelsMismatch(
        f"{artifact.model_id} has {outputs} outputs, dataset {index.name!r} has "
        f"{len(index.classes)} classes: {hint}"
    )


def run_shard(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: one shard of a large evaluation."""
    spec = EvaluateSpec.model_validate(params)
    if spec.start is None or spec.stop is None:
        raise InvalidRequest("A shard has a start and a stop.")
    task = prepare(spec, context.url)
    path = _shard_path(task, spec.start, spec.stop)
    total = spec.stop - spec.start
    if not path.exists():
        model = _load(task, context)
        _compute(
            task, model, spec.start, spec.stop, lambda n, _: context.progress(n, total, "images")
        )
    return {"start": spec.start, "stop": spec.stop}


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: computes the shards that are missing, joins them, records the result."""
    task = prepare(EvaluateSpec.model_validate(params), context.url)
    known = _existing(task.recipe, context.url)
    if known is not None:
        context.say("Already measured: the same artifact, images, preprocessing and environment.")
        return {"evaluation": known.id, "reused": True}
    _compute_missing(task, context)
    columns = join(task)
    chance = _judge_chance(task, columns, context)
    path = settings().folder("results") / f"images-{task.recipe[:32]}.npz"
    save_arrays(path, **columns)
    row = _record(task, columns, chance, path, context)
    shutil.rmtree(task.folder, ignore_errors=True)
    low, high = wilson_interval(row.top1_count, row.images)
    context.say(
        f"top-1 {row.top1_count / row.images:.2%} ({row.top1_count} of {row.images}), "
        f"95 % interval {low:.2%} to {high:.2%}."
    )
    return {"evaluation": row.id, "reused": False, "top1": row.top1_count / row.images}


def _compute_missing(task: Task, context: JobContext) -> None:
    missing = [pair for pair in task.shards() if not _shard_path(task, *pair).exists()]
    before = len(task.images) - sum(stop - start for start, stop in missing)
    if before:
        context.say(f"{before:,} images were done before.")
    if not missing:
        return
    model = _load(task, context)
    context.stage(f"Evaluating on {len(task.images):,} images of {task.index.name}.")
    tally = _Tally(context, before, len(task.images))
    for start, stop in missing:
        right = _compute(task, model, start, stop, tally.report)
        tally.add(stop - start, right)


class _Tally:
    """Running accuracy over the images that this attempt has seen."""

    def __init__(self, context: JobContext, before: int, total: int) -> None:
        self.context, self.before, self.total = context, before, total
        self.images = self.right = 0

    def add(self, images: int, right: int) -> None:
        """A shard is finished."""
        self.images, self.right = self.images + images, self.right + right

    def report(self, images: int, right: int) -> None:
        """Progress within the shard at hand."""
        n, k = self.images + images, self.right + right
        low, high = wilson_interval(k, n)
        text = f"top-1 so far {k / n:.1%} ({low:.1%} to {high:.1%})"
        self.context.progress(self.before + n, self.total, "images", text)


def _load(task: Task, context: JobContext) -> OnnxRuntime:
    context.stage(f"Loading {task.artifact.model_id} {task.artifact.precision}.")
    path = artifacts.model_path(task.artifact.digest)
    return OnnxRuntime(path, task.spec.provider, settings().threads)


def _compute(task: Task, model: OnnxRuntime, start: int, stop: int, seen: Seen) -> int:
    """Writes the shard's file; returns how many were right. `seen` gets (images, right) so far."""
    which = task.images[start:stop]
    parts: list[dict[str, np.ndarray]] = []
    done = right = 0
    batches = read_batches(task.index, which, task.preprocess, task.spec.batch, settings().threads)
    for batch in batches:
        chosen = which[done : done + len(batch)]
        parts.append(_judge(task, model.run(batch), chosen))
        done += len(batch)
        right += int((parts[-1]["rank"] == 0).sum())
        seen(done, right)
    path = _shard_path(task, start, stop)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(path, **{name: np.concatenate([part[name] for part in parts]) for name in COLUMNS})
    return right


def _judge(task: Task, outputs: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
    manifest = task.artifact.manifest
    scores = drop_background(outputs, manifest.get("background"))
    labels = task.index.labels[images].astype(np.int64)
    best = top_k(scores, 5)
    probabilities = scores if manifest.get("scores") == "probabilities" else softmax(scores)
    return {
        "image": images.astype(np.int32),
        "label": labels.astype(np.int32),
        "top5": best.astype(np.int32),
        "top5_probability": np.take_along_axis(probabilities, best, 1).astype(np.float32),
        "rank": rank_of(scores, labels),
    }


def join(task: Task) -> dict[str, np.ndarray]:
    """All shards in order; raises InvalidRequest unless they cover every image exactly once."""
    parts = [dict(np.load(_shard_path(task, *pair))) for pair in task.shards()]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    if not np.array_equal(columns["image"], task.images):
        raise InvalidRequest("The shards of this evaluation do not cover its images exactly once.")
    return columns


def _shard_path(task: Task, start: int, stop: int) -> Path:
    return task.folder / f"{start:08d}-{stop:08d}.npz"


def _judge_chance(task: Task, columns: dict[str, np.ndarray], context: JobContext) -> bool:
    right, n = int((columns["rank"] == 0).sum()), len(columns["rank"])
    if not at_chance(right, n, len(task.index.classes)):
        return False
    if task.artifact.precision == Precision.FP32:
        shutil.rmtree(task.folder, ignore_errors=True)
        raise LabelsMismatch(
            f"{task.artifact.model_id} in fp32 is right on {right} of {n} images, as guessing "
            f"would be: labels or class order do not match those of dataset {task.index.name!r}. "
            f"Check the label file and the model's class order; nothing was recorded."
        )
    context.say(f"At chance level: this {task.artifact.precision} build has collapsed.")
    return True


def _existing(recipe: str, url: str) -> Evaluation | None:
    with reading(url) as session:
        row = session.scalar(select(Evaluation).where(Evaluation.recipe == recipe))
    kept = row is not None and (settings().home / (row.per_image_path or "nothing")).is_file()
    return row if kept else None


def _protocol_name(task: Task) -> str:
    own = artifacts.preprocess_of(task.artifact)
    name = name_of(task.preprocess, find_model(task.artifact.model_id).preprocess)
    return "the export's own" if name is Protocol.CUSTOM and task.preprocess == own else name


def _record(
    task: Task, columns: dict[str, np.ndarray], chance: bool, path: Path, context: JobContext
) -> Evaluation:
    ranks = columns["rank"]
    values = {
        "job_id": context.job_id,
        "artifact_digest": task.artifact.digest,
        "environment_digest": environment.record(task.surroundings, context.url),
        "dataset_name": task.index.name,
        "dataset_digest": task.index.digest,
        "preprocess": task.preprocess.to_dict(),
        "images": len(ranks),
        "images_in_dataset": len(task.index),
        "top1_count": int((ranks == 0).sum()),
        "top5_count": int((ranks < 5).sum()),
        "at_chance": chance,
        "per_image_path": str(path.relative_to(settings().home)),
        "protocol": {
            "batch": task.spec.batch,
            "provider": task.spec.provider,
            "threads": settings().threads,
            "preprocessing": _protocol_name(task),
            "scoring": "by class index; equal scores in the order of their index",
            "runtime": f"{OnnxRuntime.name} {OnnxRuntime.version}",
        },
    }
    with writing(context.url) as session:
        row = session.scalar(select(Evaluation).where(Evaluation.recipe == task.recipe))
        row = row or Evaluation(recipe=task.recipe)
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)
    return row
