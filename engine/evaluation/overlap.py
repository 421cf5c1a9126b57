"""Images of an evaluation that its build was calibrated or searched on, and the rest."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from db.enums import Precision
from engine.build.int8.calibration_overlap import Overlap, find_overlap
from engine.evaluation.per_image import PerImage
from engine.evaluation.task import Task
from engine.store.protocols import RestFacts, SeenFacts


def overlap_facts(task: Task, images: PerImage) -> SeenFacts | None:
    """What an evaluation's protocol says; None for a build that is not calibrated."""
    if task.artifact.precision != Precision.INT8:
        return None
    found = _of_task(_Key(task))
    if found is None:
        return None
    known = np.isin(images.image, task.images[found.any_use])
    facts = SeenFacts(
        calibrated=int(np.isin(images.image, task.images[found.calibrated]).sum()),
        searched=int(np.isin(images.image, task.images[found.searched]).sum()),
        images=int(known.sum()),
        of=len(images),
    )
    if not facts.images:
        return facts
    top1, top5 = images.subset(~known).counts()
    rest = RestFacts(images=int((~known).sum()), top1=top1, top5=top5)
    return facts.model_copy(update={"rest": rest})


class _Key:
    """A task as a key: an evaluation is written several times on its way."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __hash__(self) -> int:
        return hash(self.task.recipe)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.task.recipe == self.task.recipe


@lru_cache(maxsize=4)
def _of_task(key: _Key) -> Overlap | None:
    return find_overlap(key.task.artifact, key.task.index, key.task.images)
