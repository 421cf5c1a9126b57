"""From a network's output rows to classes: background taken off, ranked, as probabilities."""

from __future__ import annotations

import numpy as np

from engine.errors import InvalidRequest


def as_scores(values: np.ndarray) -> np.ndarray:
    """What a session gives, as float32 (n, classes): whole numbers and other floats are cast.

    (n, classes, 1, 1) is one row an image; maps of several rows keep their shape.
    """
    is_row = values.ndim > 2 and sum(size != 1 for size in values.shape[1:]) <= 1
    return np.asarray(values.reshape(len(values), -1) if is_row else values, np.float32)


def drop_background(scores: np.ndarray, background: int | None) -> np.ndarray:
    """Scores (n, classes) without the column that is no class of the dataset.

    Raises InvalidRequest where there is no such column.
    """
    if background is None:
        return scores
    if not 0 <= background < scores.shape[1]:
        raise InvalidRequest(
            f"Background class {background} is none of the {scores.shape[1]:,} outputs, which "
            f"count from 0."
        )
    return np.delete(scores, background, axis=1)


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Class indices (n, k), best first; equal scores in the order of their index, NaN last.

    Scores may be of any numeric type: they are not negated, which unsigned numbers cannot be.
    """
    ascending = np.argsort(_ranked(scores)[:, ::-1], axis=1, kind="stable")
    return scores.shape[1] - 1 - ascending[:, ::-1][:, :k]


def rank_of(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes stand before the label in the order of `top_k`; 0 means top-1."""
    scores = _ranked(scores)
    truth = np.take_along_axis(scores, labels[:, None], axis=1)
    before = (scores > truth).sum(axis=1)
    earlier = np.arange(scores.shape[1])[None, :] < labels[:, None]
    return np.asarray(before + ((scores == truth) & earlier).sum(axis=1), np.int32)


def _ranked(scores: np.ndarray) -> np.ndarray:
    """NaN compares as false with everything, and would rank first; here it is the least."""
    if scores.dtype.kind != "f" or not np.isnan(scores).any():
        return scores
    return np.where(np.isnan(scores), -np.inf, scores)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes), computed without overflow."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
