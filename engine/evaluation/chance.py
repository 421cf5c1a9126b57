"""Accuracy as guessing would give it, with labels present: what is likely to be wrong."""

from __future__ import annotations

import numpy as np

from engine.common.stats import at_chance
from engine.evaluation.per_image import PerImage

LEAST_OF_A_CLASS = 5
CONVINCING = 0.3


def is_at_chance(images: PerImage, classes: int) -> bool:
    """Whether the share of right answers is what guessing would give."""
    if not images.labeled or classes < 2:
        return False
    return at_chance(int(images.right.sum()), len(images), classes)


def likely_cause(images: PerImage) -> str:
    """A sentence on what is wrong with the labels, from how predictions and labels go together."""
    for shift in (1, -1):
        shifted = _right_if_shifted(images, shift)
        if shifted >= CONVINCING:
            which = "labels count from 1" if shift == 1 else "predictions count from 1"
            return (
                f"With 1 taken from each {'label' if shift == 1 else 'prediction'}, {shifted:.0%} "
                f"would be right: the {which}."
            )
    reordered = _right_if_reordered(images)
    if reordered is not None and reordered >= CONVINCING:
        return (
            f"With the classes in another order, {reordered:.0%} would be right: the model's "
            f"classes are in another order than the dataset's (by name rather than by wnid, say)."
        )
    return "Labels or class order do not match."


def _right_if_shifted(images: PerImage, shift: int) -> float:
    best = images.best
    return 0.0 if best is None else float((best == images.label - shift).mean())


def _right_if_reordered(images: PerImage) -> float | None:
    """Share of images that agree with the commonest prediction of their class, one class each.

    None where the classes have too few images to tell a new order from an accident.
    """
    best = images.best
    classes, place, totals = np.unique(images.label, return_inverse=True, return_counts=True)
    if best is None or totals.min() < LEAST_OF_A_CLASS or len(classes) < 2:
        return None
    pairs, counts = np.unique(np.stack([place, best], axis=1), axis=0, return_counts=True)
    taken_class: set[int] = set()
    taken_prediction: set[int] = set()
    agreeing = 0
    for index in np.argsort(-counts, kind="stable"):
        label, prediction = (int(value) for value in pairs[index])
        if label not in taken_class and prediction not in taken_prediction:
            taken_class.add(label)
            taken_prediction.add(prediction)
            agreeing += int(counts[index])
    return agreeing / len(images)
