"""The database row of an evaluation, partial or complete."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select

from db.models import Evaluation
from db.session import reading, writing
from engine.catalog.models import find_model
from engine.common import environment
from engine.common.digests import images_digest
from engine.config import settings
from engine.errors import LabelsMismatch, StoreDamaged
from engine.evaluation import groups
from engine.evaluation.chance import is_at_chance, likely_cause
from engine.evaluation.overlap import calibration_overlap
from engine.evaluation.per_image import PerImage, save_per_image
from engine.evaluation.shards import finished_shards, join
from engine.evaluation.task import Task
from engine.jobs.context import JobContext
from engine.preprocess.protocols import Protocol, protocol_name
from engine.runtimes import registry
from engine.specs.precisions import PRECISIONS
from engine.store import artifacts
from engine.store.protocols import EvaluationProtocol
from engine.store.shared import fetch, publish_result, remove, report


def find_complete(recipe: str, url: str) -> Evaluation | None:
    """The complete evaluation of a recipe whose per-image results exist, else None."""
    row = _find(recipe, url)
    if row is None or row.per_image_path is None or is_partial(row):
        return None
    try:
        return row if fetch(settings().home / row.per_image_path) else None
    except StoreDamaged as error:
        report(str(error))
        return None


def is_partial(row: Evaluation) -> bool:
    """Whether an evaluation was stopped early or is still running."""
    return row.images_planned is not None and row.images < row.images_planned


def record_partial(task: Task, context: JobContext) -> None:
    """Records the finished shards as a partial result.

    Raises LabelsMismatch for an fp32 model at chance level, so that no more images are evaluated.
    """
    shards = finished_shards(task)
    if not shards or len(shards) == len(task.shards()) or find_complete(task.recipe, context.url):
        return
    images = join(task, shards)
    chance = check_chance_level(task, images, context)
    _write(task, images, chance, context)


def record_complete(task: Task, context: JobContext) -> Evaluation:
    """Joins all shards and records the result.

    Raises LabelsMismatch for an fp32 model at chance level.
    """
    images = join(task)
    chance = check_chance_level(task, images, context)
    if chance:
        context.say(
            f"Accuracy at chance level: this {task.artifact.precision} build has collapsed."
        )
    row = _write(task, images, chance, context)
    groups.leave(task)
    return row


def check_chance_level(task: Task, images: PerImage, context: JobContext) -> bool:
    """Whether the accuracy is at chance level; for an fp32 model raises LabelsMismatch instead."""
    if not is_at_chance(images, task.classes):
        return False
    if not PRECISIONS[task.artifact.precision].lossy:
        groups.leave(task)
        _delete(task.recipe, context.url)
        raise LabelsMismatch(
            f"{task.artifact.model_id} in fp32 is correct on {int(images.correct.sum())} of "
            f"{len(images)} images, which is chance level: its labels or class order do not match "
            f"those of dataset {task.index.name!r}. {likely_cause(images)} Check the label file "
            f"and the class order of the model. Nothing was recorded."
        )
    return True


def _write(task: Task, images: PerImage, chance: bool, context: JobContext) -> Evaluation:
    # A partial file is named by its images: the row and the file that it names always agree.
    part = "" if len(images) == len(task.images) else f"-{images_digest(images.image)[:12]}"
    path = settings().folder("results") / f"images-{task.recipe[:32]}{part}.npz"
    save_per_image(path, images)
    publish_result(path)
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
        before = row.per_image_path
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)
    if before is not None and before != row.per_image_path:
        (settings().home / before).unlink(missing_ok=True)
        remove(before)
    return row


def _protocol(task: Task, images: PerImage) -> EvaluationProtocol:
    """How it was measured, with class matching and calibration overlap where these apply."""
    optional = {
        "class_matching": task.matching.assumed if task.matching is not None else None,
        "overlap": calibration_overlap(task, images),
        "nodes": _placement(task),
    }
    return EvaluationProtocol(
        batch=task.manifest.fixed_batch or task.spec.batch,
        provider=task.spec.provider,
        threads=settings().threads,
        preprocessing=_protocol_name(task),
        scoring="by class index; ties: lowest index",
        runtime=registry.with_version(task.spec.runtime),
        classes=task.classes,
        **{name: value for name, value in optional.items() if value is not None},
    )


def _placement(task: Task) -> dict[str, int] | None:
    """What `shards.compute` wrote; None where the runtime reports none."""
    group = groups.current(task)
    name = f"{group.folder(task)}/{task.placement_path.name}" if group is not None else None
    if not fetch(task.placement_path, name):  # shards of an earlier version
        return None
    stored: dict[str, int] | None = json.loads(task.placement_path.read_text())
    return stored


def _find(recipe: str, url: str) -> Evaluation | None:
    with reading(url) as session:
        return session.scalar(select(Evaluation).where(Evaluation.recipe == recipe))


def _delete(recipe: str, url: str) -> None:
    with writing(url) as session:
        row = session.scalar(select(Evaluation).where(Evaluation.recipe == recipe))
        if row is not None:
            session.delete(row)


def forget_partial(recipe: str, url: str) -> None:
    """Deletes a partial evaluation whose missing images nobody will add."""
    row = _find(recipe, url)
    if row is not None and is_partial(row):
        _delete(recipe, url)


def _protocol_name(task: Task) -> str:
    own = artifacts.preprocess_of(task.artifact)
    name = protocol_name(task.preprocess, find_model(task.artifact.model_id).preprocess)
    return "the export's own" if name is Protocol.CUSTOM and task.preprocess == own else name
