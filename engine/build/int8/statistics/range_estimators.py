"""Four ways to take a range from what was seen: max, percentile, kl_divergence, mse.

`max` keeps every value. The others cut tails that are rare, so that the rest gets finer steps; on
networks whose rare large values matter, SE networks with HardSwish among them, that costs accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BINS = 2048
LEVELS = 255
KL_LEVELS = 128
SHARES = np.linspace(0.2, 1.0, 81)

Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in equal bins over -largest to largest, and the extremes seen."""

    counts: np.ndarray
    largest: float
    low: float
    high: float

    @property
    def edges(self) -> np.ndarray:
        """BINS + 1 edges."""
        return np.linspace(-self.largest, self.largest, len(self.counts) + 1)


def max_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """Everything that was seen."""
    return histogram.low, histogram.high


def percentile_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """Cuts half of what lies beyond `percentile` (0 to 100) at each end.

    As onnxruntime.quantization's PercentileCalibrater does with symmetric=False.
    """
    share = np.cumsum(histogram.counts / max(histogram.counts.sum(), 1))
    cut = (100.0 - percentile) / 200.0
    last = len(histogram.edges) - 1
    low = histogram.edges[min(int(np.searchsorted(share, cut)), last)]
    high = histogram.edges[min(int(np.searchsorted(share, 1.0 - cut)), last)]
    return max(float(low), histogram.low), min(float(high), histogram.high)


def kl_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """The threshold whose 128-level version diverges least from what was seen.

    Migacz, 8-bit inference with TensorRT (GTC 2017): the magnitudes are cut at a threshold, what
    lies beyond is added to the last bin, and the rest is rounded to 128 levels. The bin next to 0
    counts as its neighbor does: behind a Relu it holds zeros, which any step keeps exactly, and
    so many of them that nothing else would matter.
    """
    half = len(histogram.counts) // 2
    magnitudes = histogram.counts[half:] + histogram.counts[:half][::-1]
    magnitudes[0] = magnitudes[1]
    best, threshold = np.inf, histogram.largest
    for kept in range(KL_LEVELS, half + 1, KL_LEVELS // 16):
        divergence = _divergence(magnitudes, kept)
        if divergence <= best:
            best, threshold = divergence, histogram.largest * kept / half
    return max(histogram.low, -threshold), min(histogram.high, threshold)


def _divergence(magnitudes: np.ndarray, kept: int) -> float:
    """KL divergence between the distribution cut at `kept` bins and its rounded version."""
    inside = magnitudes[:kept].astype(np.float64)
    cut = inside.copy()
    cut[-1] += magnitudes[kept:].sum()
    level = np.arange(kept) * KL_LEVELS // kept
    present = inside > 0
    sums = np.bincount(level, weights=inside, minlength=KL_LEVELS)
    sizes = np.bincount(level, weights=present, minlength=KL_LEVELS)
    rounded = np.where(present, (sums / np.maximum(sizes, 1))[level], 0.0)
    p, q = cut / max(cut.sum(), 1), rounded / max(rounded.sum(), 1)
    both = p > 0
    return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-12))).sum())


def mse_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """The range of least mean squared error: finer steps against values cut off.

    Rounding within the range costs step^2 / 12, cutting the squared distance to its end. The two
    ends are searched in turn.
    """
    centers = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)

    def error(a: float, b: float) -> float:
        beyond = np.clip(centers, a, b) - centers
        return float((histogram.counts * (beyond**2 + ((b - a) / LEVELS) ** 2 / 12)).sum())

    best_low, best_high = low, high
    for _ in range(2):
        best_high = float(min(SHARES * high, key=lambda b: error(best_low, b)))
        best_low = float(min(SHARES * low, key=lambda a: error(a, best_high)))
    return best_low, best_high


RANGE_OF: dict[str, Callable[[Histogram, float], tuple[float, float]]] = {
    "max": max_range,
    "percentile": percentile_range,
    "kl_divergence": kl_range,
    "mse": mse_range,
}
