"""Metrics of one evaluation, from its per-image results; numpy and pandas only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.common.stats import wilson_interval
from engine.evaluation.per_image import BEYOND_TOP, PerImage

CALIBRATION_BINS = 15
_LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class EvaluationMetrics:
    """Accuracies as fractions with 95 % Wilson intervals; None where a metric cannot be computed.

    `mean_rank`: mean rank of the label, from 1. `negative_log_likelihood`: in nats.
    `calibration_error`: expected calibration error over 15 bins of equal width.
    """

    images: int
    top1_count: int | None
    top5_count: int | None
    top1: float | None
    top1_low: float | None
    top1_high: float | None
    top5: float | None
    top5_low: float | None
    top5_high: float | None
    mean_rank: float | None
    negative_log_likelihood: float | None
    calibration_error: float | None


def compute_metrics(images: PerImage) -> EvaluationMetrics:
    """All metrics of an evaluation."""
    n = len(images)
    top1, top5 = images.counts()
    return EvaluationMetrics(
        n,
        top1,
        top5,
        *_share(top1, n),
        *_share(top5, n),
        mean_rank=_mean_rank(images),
        negative_log_likelihood=_negative_log_likelihood(images),
        calibration_error=_calibration_error(images),
    )


def _share(count: int | None, n: int) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if count is None or not n else (count / n, *wilson_interval(count, n))


def _mean_rank(images: PerImage) -> float | None:
    if not images.labeled or (images.rank == BEYOND_TOP).any():
        return None
    return float(images.rank.mean()) + 1


def _negative_log_likelihood(images: PerImage) -> float | None:
    if not images.labeled or images.truth_probability is None:
        return None
    probability = images.truth_probability.astype(np.float64)
    return float(-np.log(np.maximum(probability, _LEAST_PROBABILITY)).mean())


def _calibration_error(images: PerImage) -> float | None:
    if not images.labeled or images.top_probability is None:
        return None
    return expected_calibration_error(images.top_probability[:, 0], images.correct)


def expected_calibration_error(
    confidence: np.ndarray, right: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """Mean |confidence - accuracy| over bins (i/bins, (i+1)/bins], weighted by bin size.

    Naeini et al. (2015), "Obtaining well calibrated probabilities using Bayesian binning"; the bins
    of Guo et al. (2017), "On calibration of modern neural networks".
    """
    confidence = np.asarray(confidence, np.float64)
    position = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(position, confidence - np.asarray(right, np.float64), bins)
    return float(np.abs(gap).sum() / max(1, confidence.size))


def per_class(images: PerImage) -> pd.DataFrame:
    """One row per class with images: class_index, images, right, top1, low, high (fractions).

    `right`: number of correct images; low, high: 95 % Wilson interval of top1.
    """
    if not images.labeled:
        return pd.DataFrame(columns=["class_index", "images", "right", "top1", "low", "high"])
    classes, position = np.unique(images.label, return_inverse=True)
    totals = np.bincount(position)
    right = np.bincount(position, images.correct).astype(int)
    intervals = [wilson_interval(int(k), int(n)) for k, n in zip(right, totals, strict=True)]
    return pd.DataFrame(
        {
            "class_index": classes,
            "images": totals,
            "right": right,
            "top1": right / totals,
            "low": [low for low, _ in intervals],
            "high": [high for _, high in intervals],
        }
    )


def top_confusions(images: PerImage, most: int = 20) -> pd.DataFrame:
    """The most frequent top-1 errors: label, predicted, images, share of the label's images."""
    columns = ["label", "predicted", "images", "share"]
    best = images.best
    if not images.labeled or best is None:
        return pd.DataFrame(columns=columns)
    wrong = ~images.correct
    pairs, counts = np.unique(
        np.stack([images.label[wrong], best[wrong]], axis=1), axis=0, return_counts=True
    )
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -counts))[:most]
    labels, totals = np.unique(images.label, return_counts=True)
    images_of_label = dict(zip(labels.tolist(), totals.tolist(), strict=True))
    return pd.DataFrame(
        {
            "label": pairs[order, 0],
            "predicted": pairs[order, 1],
            "images": counts[order],
            "share": [
                count / images_of_label[label]
                for label, count in zip(
                    pairs[order, 0].tolist(), counts[order].tolist(), strict=True
                )
            ],
        },
        columns=columns,
    )
