"""Whether an accuracy drop is shown to be within a limit: p-values, Holm's procedure, images.

The hypothesis that is tested is that the drop is at the limit or beyond it; where it is rejected,
the drop is shown to be within. Counts and limits may be arrays, so that simulations are fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

ALPHA = 0.025
"""Highest chance that any drop at its limit is called within it: one side of a 95 % interval."""
MAX_MORE_IMAGES = 1_000_000


def drop_z(
    only_reference: ArrayLike, only_build: ArrayLike, n: ArrayLike, limit: float
) -> np.ndarray:
    """Score statistic that the drop is below `limit` (a fraction), paired by image.

    `only_reference`, `only_build`: numbers of the n images that only one of them classifies
    correctly. It equals the normal quantile at which the upper limit of Tango's interval (1998,
    Statistics in Medicine 17, 891-908) is `limit`. Counts may be scaled: z grows with their root.
    """
    lost, gained, images = (np.asarray(x, float) for x in (only_reference, only_build, n))
    b = (2 * images - lost + gained) * limit - lost - gained
    c = -gained * limit * (1 - limit)
    share = (np.sqrt(np.maximum(b * b - 8 * images * c, 0.0)) - b) / (4 * images)
    variance = images * (2 * share + limit * (1 - limit))
    return _ratio(images * limit - (lost - gained), variance)


def unpaired_drop_z(reference: tuple[int, int], build: tuple[int, int], limit: float) -> np.ndarray:
    """The same without pairing, from (correct, images) of each: Wald's statistic, one image added.

    Wider than paired, because the images are not known to be the same. Adding half a success and
    half a failure (Agresti and Caffo, 2000) keeps it from being too sure at the edges.
    """
    (right_a, n_a), (right_b, n_b) = reference, build
    a, b = (right_a + 0.5) / (n_a + 1), (right_b + 0.5) / (n_b + 1)
    variance = a * (1 - a) / (n_a + 1) + b * (1 - b) / (n_b + 1)
    return _ratio(limit - (right_a / n_a - right_b / n_b), variance)


def share_z(successes: int, n: int, least: float) -> np.ndarray:
    """Score statistic that a share is above `least` (a fraction): that of the Wilson interval."""
    return _ratio(successes / n - least, least * (1 - least) / n)


def _ratio(excess: ArrayLike, variance: ArrayLike) -> np.ndarray:
    """excess / sqrt(variance); without variance infinite, with the sign of the excess."""
    excess, variance = np.asarray(excess, float), np.asarray(variance, float)
    deviation = np.sqrt(np.maximum(variance, 0.0))
    certain = np.where(excess > 0, np.inf, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(deviation > 0, excess / deviation, certain)


def p_values(z: ArrayLike) -> np.ndarray:
    """One-sided p-values of standard normal statistics: P(Z >= z)."""
    scaled = np.asarray(z, float) / math.sqrt(2)
    return 0.5 * np.vectorize(math.erfc, otypes=[float])(scaled)


def holm(p: ArrayLike, family: int | None = None) -> np.ndarray:
    """Adjusted p-values (..., m) of Holm's procedure (1979) along the last axis.

    Those up to `alpha` are rejected; the chance of any false rejection is at most `alpha`, however
    the tests depend on each other. `family`: number of hypotheses where some were not tested, which
    count as p = 1.
    """
    values = np.asarray(p, float)
    m = values.shape[-1]
    order = np.argsort(values, axis=-1, kind="stable")
    factors = np.maximum(max(family or m, m) - np.arange(m), 1)
    ordered = np.take_along_axis(values, order, axis=-1) * factors
    adjusted = np.minimum(np.maximum.accumulate(ordered, axis=-1), 1.0)
    out = np.empty_like(adjusted)
    np.put_along_axis(out, order, adjusted, axis=-1)
    return out


@dataclass(frozen=True, slots=True)
class Shown:
    """Holm's verdict on one candidate: `shown`, its adjusted p-value, and the quantile it needs."""

    shown: bool
    p_value: float
    needed_z: float


def shown_within(z: Sequence[float], family: int, alpha: float = ALPHA) -> list[Shown]:
    """For each statistic, whether its hypothesis is rejected among `family` of them.

    `needed_z` is what a candidate that is not shown would need, as the next one of the procedure.
    """
    if not len(z):
        return []
    adjusted = holm(p_values(z), family)
    rejected = int(np.sum(adjusted <= alpha))
    needed = NormalDist().inv_cdf(1 - alpha / max(family - rejected, 1))
    return [Shown(bool(p <= alpha), float(p), needed) for p in adjusted]


def more_images_needed(z: float, n: int, needed_z: float) -> int | None:
    """About how many more images would show it, if the figures stay as they are.

    Rounded up to two digits. None where no number would: the figure is at the limit or beyond.
    """
    if z >= needed_z:
        return 0
    if z <= 0:
        return None
    more = n * ((needed_z / z) ** 2 - 1)
    if more > MAX_MORE_IMAGES:
        return None
    unit = 10 ** max(0, math.floor(math.log10(max(more, 1))) - 1)
    return math.ceil(more / unit) * unit
