"""Per-image results from the scores of a model, or from its top classes alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.common.scores import rank_of, softmax, top_k
from engine.datasets.classes import ClassMatching
from engine.evaluation.per_image import BEYOND_TOP, NO_LABEL, PerImage

TOP_K = 5


def score(
    scores: np.ndarray, image: np.ndarray, label: np.ndarray, *, probabilities: bool
) -> PerImage:
    """Per-image results of scores (n, classes); ties: lowest class index first.

    `image` and `label` are (n,); `probabilities`: the scores are softmax outputs already.
    """
    label = label.astype(np.int64)
    best = top_k(scores, TOP_K)
    shares = scores if probabilities else softmax(scores)
    labeled = label != NO_LABEL
    true_output = np.where(labeled, label, 0)
    label_probability = np.take_along_axis(shares, true_output[:, None], 1)[:, 0]
    return PerImage(
        image=image.astype(np.int32),
        label=label.astype(np.int32),
        rank=np.where(labeled, rank_of(scores, true_output), NO_LABEL).astype(np.int32),
        top=best.astype(np.int32),
        top_probability=np.take_along_axis(shares, best, 1).astype(np.float32),
        truth_probability=np.where(labeled, label_probability, np.nan).astype(np.float32),
    )


def score_matched(
    scores: np.ndarray,
    image: np.ndarray,
    label: np.ndarray,
    matching: ClassMatching | None,
    *,
    probabilities: bool,
) -> PerImage:
    """As `score`, with outputs mapped to dataset classes by `matching` (None: same order)."""
    if matching is None or matching.class_of_output is None:
        return score(scores, image, label, probabilities=probabilities)
    results = score(scores, image, matching.outputs_of_labels(label), probabilities=probabilities)
    top = None if results.top is None else matching.classes_of_outputs(results.top)
    return replace(results, label=label.astype(np.int32), top=top)


def score_top(
    top: np.ndarray, image: np.ndarray, label: np.ndarray, probability: np.ndarray | None = None
) -> PerImage:
    """Per-image results where only the top classes (n, k), best first, are recorded."""
    label = label.astype(np.int64)
    hits = top == label[:, None]
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1), BEYOND_TOP)
    return PerImage(
        image=image.astype(np.int32),
        label=label.astype(np.int32),
        rank=np.where(label == NO_LABEL, NO_LABEL, rank).astype(np.int32),
        top=top.astype(np.int32)[:, :TOP_K],
        top_probability=None if probability is None else probability.astype(np.float32)[:, :TOP_K],
    )
