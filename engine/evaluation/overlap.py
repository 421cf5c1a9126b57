"""Overlap of the evaluated images with those that the int8 build used for calibration or search."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from db.enums import Precision
from engine.build.int8.calibration_overlap import Overlap, find_overlap
from engine.evaluation.per_image import PerImage
from engine.evaluation.task import Task
from engine.specs.precisions import file_precision
from engine.store.protocols import OverlapFacts, RemainingFacts


def calibration_overlap(task: Task, images: PerImage) -> OverlapFacts | None:
    """The overlap as stored in the protocol of an evaluation; None for a build without calibration.

    `rest`: accuracy on the images that the build did not use.
    """
    if file_precision(task.artifact.precision) != Precision.INT8:
        return None
    overlap = _cached_overlap(_TaskKey(task))
    if overlap is None:
        return None
    used = np.isin(images.image, task.images[overlap.any_use])
    facts = OverlapFacts(
        calibrated=int(np.isin(images.image, task.images[overlap.calibrated]).sum()),
        searched=int(np.isin(images.image, task.images[overlap.searched]).sum()),
        images=int(used.sum()),
        of=len(images),
    )
    if not facts.images:
        return facts
    top1, top5 = images.subset(~used).counts()
    rest = RemainingFacts(images=int((~used).sum()), top1=top1, top5=top5)
    return facts.model_copy(update={"rest": rest})


class _TaskKey:
    """A task as a cache key: a running evaluation is recorded several times."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __hash__(self) -> int:
        return hash(self.task.recipe)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TaskKey) and other.task.recipe == self.task.recipe


@lru_cache(maxsize=4)
def _cached_overlap(key: _TaskKey) -> Overlap | None:
    return find_overlap(key.task.artifact, key.task.index, key.task.images)
