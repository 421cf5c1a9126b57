"""The row of an evaluation: while it is unfinished, and once it is whole."""

from __future__ import annotations

import shutil
from typing import Any

from sqlalchemy import select

from db.models import Evaluation
from db.session import reading, writing
from engine.catalog.models import find_model
from engine.common import environment
from engine.common.digests import images_digest
from engine.config import settings
from engine.errors import LabelsMismatch
from engine.evaluation.chance import is_at_chance, likely_cause
from engine.evaluation.overlap import overlap_facts
from engine.evaluation.per_image import PerImage, save
from engine.evaluation.shards import finished_shards, join
from engine.evaluation.task import Task
from engine.jobs.context import JobContext
from engine.preprocess.protocols import Protocol, protocol_name
from engine.runtimes import registry
from engine.specs.precisions import PRECISIONS
from engine.store import artifacts
from engine.store.protocols import EvaluationProtocol


def find_whole(recipe: str, url: str) -> Evaluation | None:
    """The finished evaluation of a recipe, if its per-image results are still there."""
    row = _find(recipe, url)
    if row is None or row.per_image_path is None or is_partial(row):
        return None
    return row if (settings().home / row.per_image_path).is_file() else None


def is_partial(row: Evaluation) -> bool:
    """Whether an evaluation was stopped, or still runs."""
    return row.images_planned is not None and row.images < row.images_planned


def record_partial(task: Task, context: JobContext) -> None:
    """Shows what is finished so far, marked as partial.

    A float network that guesses is stopped here, before all images are spent on it: raises
    LabelsMismatch.
    """
    shards = finished_shards(task)
    if not shards or len(shards) == len(task.shards()) or find_whole(task.recipe, context.url):
        return
    images = join(task, shards)
    chance = judge_chance(task, images, context)
    _write(task, images, chance, context)


def record_whole(task: Task, context: JobContext) -> Evaluation:
    """Joins all shards and writes the result. Raises LabelsMismatch for a network that guesses."""
    images = join(task)
    chance = judge_chance(task, images, context)
    if chance:
        context.say(f"At chance level: this {task.artifact.precision} build has collapsed.")
    row = _write(task, images, chance, context)
    shutil.rmtree(task.folder, ignore_errors=True)
    return row


def judge_chance(task: Task, images: PerImage, context: JobContext) -> bool:
    """Whether the accuracy is that of guessing; for fp32 that raises LabelsMismatch instead."""
    if not is_at_chance(images, task.classes):
        return False
    if not PRECISIONS[task.artifact.precision].lossy:
        shutil.rmtree(task.folder, ignore_errors=True)
        _forget(task.recipe, context.url)
        raise LabelsMismatch(
            f"{task.artifact.model_id} in fp32 is right on {int(images.right.sum())} of "
            f"{len(images)} images, as guessing would be: labels or class order do not match those "
            f"of dataset {task.index.name!r}. {likely_cause(images)} Check the label file and the "
            f"model's class order; nothing was recorded."
        )
    return True


def _write(task: Task, images: PerImage, chance: bool, context: JobContext) -> Evaluation:
    path = settings().folder("results") / f"images-{task.recipe[:32]}.npz"
    save(path, images)
    top1, top5 = images.counts()
    values: dict[str, Any] = {
        "job_id": context.job_id,
        "artifact_digest": task.artifact.digest,
        "environment_digest": environment.record(task.surroundings, context.url),
        "dataset_name": task.index.name,
        "dataset_digest": task.index.digest,
        "label_set": "dataset" if task.index.labeled else "none",
        "preprocess": task.preprocess.to_dict(),
        "images": len(images),
        "images_planned": len(task.images),
        "images_in_dataset": len(task.index),
        "images_digest": images_digest(images.image),
        "top1_count": top1,
        "top5_count": top5,
        "at_chance": chance,
        "per_image_path": str(path.relative_to(settings().home)),
        "protocol": _protocol(task, images).dump(),
    }
    with writing(context.url) as session:
        row = session.scalar(select(Evaluation).where(Evaluation.recipe == task.recipe))
        row = row or Evaluation(recipe=task.recipe)
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)
    return row


def _protocol(task: Task, images: PerImage) -> EvaluationProtocol:
    """How it was measured; what was assumed of classes and seen before only where it was."""
    told = {
        "class_matching": task.matching.assumed if task.matching is not None else None,
        "overlap": overlap_facts(task, images),
    }
    return EvaluationProtocol(
        batch=task.manifest.fixed_batch or task.spec.batch,
        provider=task.spec.provider,
        threads=settings().threads,
        preprocessing=_protocol_name(task),
        scoring="by class index; equal scores in the order of their index",
        runtime=registry.with_version(task.spec.runtime),
        classes=task.classes,
        **{name: value for name, value in told.items() if value is not None},
    )


def _find(recipe: str, url: str) -> Evaluation | None:
    with reading(url) as session:
        return session.scalar(select(Evaluation).where(Evaluation.recipe == recipe))


def _forget(recipe: str, url: str) -> None:
    with writing(url) as session:
        row = session.scalar(select(Evaluation).where(Evaluation.recipe == recipe))
        if row is not None:
            session.delete(row)


def _protocol_name(task: Task) -> str:
    own = artifacts.preprocess_of(task.artifact)
    name = protocol_name(task.preprocess, find_model(task.artifact.model_id).preprocess)
    return "the export's own" if name is Protocol.CUSTOM and task.preprocess == own else name
