"""How many images change their top-1 class from fp32 to int8, and by how much scores change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MANY_CHANGED = 1 / 8
"""Share of images; where more change their class, the log explains why."""


@dataclass(frozen=True, slots=True)
class Top1Changes:
    """Top-1 agreement of int8 with fp32 on calibration images, and the size of score changes.

    `margin` is the median difference in fp32 between the two best scores of the changed images,
    `shift` the median over all images of the largest change of a score.
    """

    images: int
    changed: int
    margin: float
    shift: float

    @property
    def are_many(self) -> bool:
        """Whether more images change their class than MANY_CHANGED."""
        return self.changed > MANY_CHANGED * self.images

    def warning(self) -> str:
        """The warning for a build that changes the top-1 class of many images."""
        return (
            f"Top-1 differs from fp32 on {self.changed} of {self.images} calibration images: their "
            f"two best fp32 scores differ by {self.margin:.2g}, and int8 changes scores by "
            f"{self.shift:.2g}. Evaluate this build before use; an accuracy constraint "
            f"(--max-accuracy-drop) excludes more layers from quantization."
        )


def compare_top1(fp32_scores: np.ndarray, int8_scores: np.ndarray) -> Top1Changes:
    """Compares the scores (images, classes) of fp32 and int8 on the same images."""
    changed = fp32_scores.argmax(axis=1) != int8_scores.argmax(axis=1)
    best = np.sort(fp32_scores, axis=1)[:, -2:]
    margins = (best[:, -1] - best[:, 0])[changed]
    shift = np.abs(int8_scores - fp32_scores).max(axis=1)
    margin = float(np.median(margins)) if len(margins) else 0.0
    return Top1Changes(len(fp32_scores), int(changed.sum()), margin, float(np.median(shift)))
