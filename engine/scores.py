"""From a network's output rows to classes: background taken off, ranked, as probabilities."""

from __future__ import annotations

import numpy as np


def drop_background(scores: np.ndarray, background: int | None) -> np.ndarray:
    """Scores (n, classes) without the column that is no class of the dataset."""
    return scores if background is None else np.delete(scores, background, axis=1)


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Class indices (n, k), best first; equal scores in the order of their index."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def rank_of(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes stand before the label in the order of `top_k`; 0 means top-1."""
    truth = np.take_along_axis(scores, labels[:, None], axis=1)
    before = (scores > truth).sum(axis=1)
    earlier = np.arange(scores.shape[1])[None, :] < labels[:, None]
    return np.asarray(before + ((scores == truth) & earlier).sum(axis=1), np.int32)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes), computed without overflow."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
