"""The class that loses most between two evaluations, with an interval that counts all classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.common.stats import paired_difference
from engine.evaluation.per_image import PerImage

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class WorstClass:
    """The class `label` with the largest loss of accuracy, of `classes` classes.

    `loss` (share of its `images`; positive: less accurate) has the interval `low` to `high`, which
    holds for all classes at once: Tango's interval at 1 - 0.05 / classes (Bonferroni), because the
    worst of many classes is worse by chance.
    """

    label: int
    images: int
    loss: float
    low: float
    high: float
    classes: int

    def sentence(self, name: str) -> str:
        """`Worst class: tench, -12.0 pp on 50 images (95 % for all 10 classes: -30.1 to +2.0).`"""
        proven = "" if self.low > 0 else "; not significant"
        return (
            f"Worst class: {name}, {-100 * self.loss:+.1f} pp on {self.images:,} "
            f"image{'s' * (self.images != 1)} (95 % for all {self.classes:,} classes at once: "
            f"{-100 * self.high:+.1f} to {-100 * self.low:+.1f}{proven})."
        )


def worst_class(first: PerImage, second: PerImage) -> WorstClass | None:
    """The class whose accuracy falls most from the first to the second evaluation.

    Both are of the same images in the same order. None without labels, and where no class loses.
    """
    if not first.labeled:
        return None
    labels, positions = np.unique(first.label, return_inverse=True)
    images = np.bincount(positions)
    change = np.bincount(positions, second.correct.astype(int) - first.correct.astype(int))
    share = change / images
    worst = int(np.lexsort((-images, share))[0])
    if change[worst] >= 0:
        return None
    own = positions == worst
    level = 1 - (1 - CONFIDENCE) / len(labels)
    found = paired_difference(first.correct[own], second.correct[own], level)
    return WorstClass(
        label=int(labels[worst]),
        images=int(images[worst]),
        loss=-found.difference,
        low=-found.high,
        high=-found.low,
        classes=len(labels),
    )
