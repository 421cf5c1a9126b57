"""Scores of a network: background class removed, ranked, turned into probabilities."""

from __future__ import annotations

import numpy as np

from engine.errors import InvalidRequest


def as_scores(values: np.ndarray) -> np.ndarray:
    """Session outputs as float32 (n, classes); other numeric types are cast.

    (n, classes, 1, 1) is one row an image; maps of several rows keep their shape.
    """
    is_row = values.ndim > 2 and sum(size != 1 for size in values.shape[1:]) <= 1
    return np.asarray(values.reshape(len(values), -1) if is_row else values, np.float32)


def drop_background(scores: np.ndarray, background: int | None) -> np.ndarray:
    """Scores (n, classes) without the background column.

    Raises InvalidRequest if there is no such column.
    """
    if background is None:
        return scores
    if not 0 <= background < scores.shape[1]:
        raise InvalidRequest(
            f"Background class {background} is out of range: the model has {scores.shape[1]:,} "
            f"outputs, counted from 0."
        )
    return np.delete(scores, background, axis=1)


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Class indices (n, k), best first; ties by lowest index, NaN last.

    Works for all numeric types: scores are never negated, which unsigned types cannot be.
    """
    ascending = np.argsort(_ranked(scores)[:, ::-1], axis=1, kind="stable")
    return scores.shape[1] - 1 - ascending[:, ::-1][:, :k]


def rank_of(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank of each label (n,) in the order of `top_k`; 0 means top-1."""
    scores = _ranked(scores)
    truth = np.take_along_axis(scores, labels[:, None], axis=1)
    before = (scores > truth).sum(axis=1)
    earlier = np.arange(scores.shape[1])[None, :] < labels[:, None]
    return np.asarray(before + ((scores == truth) & earlier).sum(axis=1), np.int32)


def _ranked(scores: np.ndarray) -> np.ndarray:
    """Scores with NaN replaced by -inf, so that NaN never ranks first."""
    if scores.dtype.kind != "f" or not np.isnan(scores).any():
        return scores
    return np.where(np.isnan(scores), -np.inf, scores)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes), computed without overflow."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
