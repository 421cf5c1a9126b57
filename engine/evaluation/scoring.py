"""From a network's output rows, or from its best classes alone, to per-image results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.common.scores import rank_of, softmax, top_k
from engine.datasets.classes import ClassMatching
from engine.evaluation.per_image import BEYOND_TOP, NO_LABEL, PerImage

TOP = 5


def score(
    scores: np.ndarray, image: np.ndarray, label: np.ndarray, *, probabilities: bool
) -> PerImage:
    """Per-image results of scores (n, classes); equal scores stand in the order of their index."""
    label = label.astype(np.int64)
    best = top_k(scores, TOP)
    shares = scores if probabilities else softmax(scores)
    known = label != NO_LABEL
    truth = np.where(known, label, 0)
    chosen = np.take_along_axis(shares, truth[:, None], 1)[:, 0]
    return PerImage(
        image=image.astype(np.int32),
        label=label.astype(np.int32),
        rank=np.where(known, rank_of(scores, truth), NO_LABEL).astype(np.int32),
        top=best.astype(np.int32),
        top_probability=np.take_along_axis(shares, best, 1).astype(np.float32),
        truth_probability=np.where(known, chosen, np.nan).astype(np.float32),
    )


def score_matched(
    scores: np.ndarray,
    image: np.ndarray,
    label: np.ndarray,
    matching: ClassMatching | None,
    *,
    probabilities: bool,
) -> PerImage:
    """As `score`, where outputs mean classes of the dataset in another order; those are kept."""
    if matching is None or matching.class_of_output is None:
        return score(scores, image, label, probabilities=probabilities)
    found = score(scores, image, matching.outputs_of_labels(label), probabilities=probabilities)
    top = None if found.top is None else matching.classes_of_outputs(found.top)
    return replace(found, label=label.astype(np.int32), top=top)


def score_top(
    top: np.ndarray, image: np.ndarray, label: np.ndarray, probability: np.ndarray | None = None
) -> PerImage:
    """Per-image results where only the best classes (n, k) are known."""
    label = label.astype(np.int64)
    hits = top == label[:, None]
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1), BEYOND_TOP)
    return PerImage(
        image=image.astype(np.int32),
        label=label.astype(np.int32),
        rank=np.where(label == NO_LABEL, NO_LABEL, rank).astype(np.int32),
        top=top.astype(np.int32)[:, :TOP],
        top_probability=None if probability is None else probability.astype(np.float32)[:, :TOP],
    )
