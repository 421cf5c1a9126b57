"""Accuracy at chance level: detection, and the likely cause in the labels."""

from __future__ import annotations

import numpy as np

from engine.common.stats import is_chance_level
from engine.evaluation.per_image import PerImage

MIN_IMAGES_PER_CLASS = 5
MIN_EXPLAINED_SHARE = 0.3


def is_at_chance(images: PerImage, classes: int) -> bool:
    """Whether the top-1 accuracy is at chance level; False without labels."""
    if not images.labeled or classes < 2:
        return False
    return is_chance_level(int(images.correct.sum()), len(images), classes)


def likely_cause(images: PerImage) -> str:
    """A sentence on the likely error in the labels: shifted indices, or another class order."""
    for shift in (1, -1):
        shifted = _accuracy_if_shifted(images, shift)
        if shifted >= MIN_EXPLAINED_SHARE:
            which = "label" if shift == 1 else "prediction"
            return (
                f"With 1 subtracted from each {which}, {shifted:.0%} would be correct: "
                f"the {which}s count from 1."
            )
    reordered = _accuracy_if_reordered(images)
    if reordered is not None and reordered >= MIN_EXPLAINED_SHARE:
        return (
            f"With the classes in another order, {reordered:.0%} would be correct: the class order "
            f"of the model differs from that of the dataset (for example by name, not by wnid)."
        )
    return "The labels or the class order do not match."


def _accuracy_if_shifted(images: PerImage, shift: int) -> float:
    best = images.best
    return 0.0 if best is None else float((best == images.label - shift).mean())


def _accuracy_if_reordered(images: PerImage) -> float | None:
    """Top-1 accuracy under the best greedy one-to-one mapping of predictions to labels.

    None where a class has under MIN_IMAGES_PER_CLASS images: the mapping could then be a
    coincidence.
    """
    best = images.best
    classes, position, totals = np.unique(images.label, return_inverse=True, return_counts=True)
    if best is None or totals.min() < MIN_IMAGES_PER_CLASS or len(classes) < 2:
        return None
    pairs, counts = np.unique(np.stack([position, best], axis=1), axis=0, return_counts=True)
    used_labels: set[int] = set()
    used_predictions: set[int] = set()
    agreeing = 0
    for index in np.argsort(-counts, kind="stable"):
        label, prediction = (int(value) for value in pairs[index])
        if label not in used_labels and prediction not in used_predictions:
            used_labels.add(label)
            used_predictions.add(prediction)
            agreeing += int(counts[index])
    return agreeing / len(images)
