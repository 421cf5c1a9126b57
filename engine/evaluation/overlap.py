"""Images of an evaluation that its build was calibrated or searched on, and the rest."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from db.enums import Precision
from engine.build.int8.calibration_overlap import Overlap, overlap
from engine.evaluation.overlap_text import SEEN_BEFORE
from engine.evaluation.per_image import PerImage
from engine.evaluation.task import Task


def facts_of(task: Task, images: PerImage) -> dict[str, Any]:
    """What an evaluation's protocol says; nothing for a build that is not calibrated.

    As engine.evaluation.overlap_text describes.
    """
    if task.artifact.precision != Precision.INT8:
        return {}
    found = _of_task(_Key(task))
    if found is None:
        return {}
    known = np.isin(images.image, task.images[found.either])
    facts: dict[str, Any] = {
        "calibrated": int(np.isin(images.image, task.images[found.calibrated]).sum()),
        "searched": int(np.isin(images.image, task.images[found.searched]).sum()),
        "images": int(known.sum()),
        "of": len(images),
    }
    if facts["images"]:
        top1, top5 = images.subset(~known).counts()
        facts["rest"] = {"images": int((~known).sum()), "top1": top1, "top5": top5}
    return {SEEN_BEFORE: facts}


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
    return overlap(key.task.artifact, key.task.index, key.task.images)
