"""Calibration methods that estimate a range from a histogram: max, percentile, kl_divergence, mse.

`max` keeps all values. The others clip rare tails, so that the other values get a smaller scale.
Where rare large values matter, as in SE networks with HardSwish, this costs accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 2048
STEPS_8_BIT = 255
KL_LEVELS = 128
RANGE_FRACTIONS = np.linspace(0.2, 1.0, 81)

Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in equal bins from -max_magnitude to max_magnitude; `low`, `high`: min and max."""

    counts: np.ndarray
    max_magnitude: float
    low: float
    high: float

    @property
    def edges(self) -> np.ndarray:
        """Bin edges, (BINS + 1,)."""
        return np.linspace(-self.max_magnitude, self.max_magnitude, len(self.counts) + 1)


def max_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """The range of all values."""
    return histogram.low, histogram.high


def percentile_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """The central `percentile` % (0 to 100) of all values; half of the rest is clipped per end.

    Equal to onnxruntime.quantization's PercentileCalibrater with symmetric=False.
    """
    share = np.cumsum(histogram.counts / max(histogram.counts.sum(), 1))
    tail = (100.0 - percentile) / 200.0
    last = len(histogram.edges) - 1
    low = histogram.edges[min(int(np.searchsorted(share, tail)), last)]
    high = histogram.edges[min(int(np.searchsorted(share, 1.0 - tail)), last)]
    return max(float(low), histogram.low), min(float(high), histogram.high)


def kl_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """The range whose 128-level quantization has the least KL divergence from the histogram.

    Migacz, 8-bit inference with TensorRT (GTC 2017): magnitudes are clipped at a threshold, the
    clipped counts are added to the last bin, and the result is quantized to 128 levels. The bin at
    0 takes the count of its neighbor: after a Relu it holds zeros, which any scale represents
    exactly, and which would outweigh all other values.
    """
    half = len(histogram.counts) // 2
    magnitudes = histogram.counts[half:] + histogram.counts[:half][::-1]
    magnitudes[0] = magnitudes[1]
    best, threshold = np.inf, histogram.max_magnitude
    for kept_bins in range(KL_LEVELS, half + 1, KL_LEVELS // 16):
        divergence = _kl_divergence(magnitudes, kept_bins)
        if divergence <= best:
            best, threshold = divergence, histogram.max_magnitude * kept_bins / half
    return max(histogram.low, -threshold), min(histogram.high, threshold)


def _kl_divergence(magnitudes: np.ndarray, kept_bins: int) -> float:
    """KL divergence between the histogram clipped to `kept_bins` bins and its quantized version."""
    inside = magnitudes[:kept_bins].astype(np.float64)
    clipped = inside.copy()
    clipped[-1] += magnitudes[kept_bins:].sum()
    level_of_bin = np.arange(kept_bins) * KL_LEVELS // kept_bins
    present = inside > 0
    sums = np.bincount(level_of_bin, weights=inside, minlength=KL_LEVELS)
    bin_counts = np.bincount(level_of_bin, weights=present, minlength=KL_LEVELS)
    rounded = np.where(present, (sums / np.maximum(bin_counts, 1))[level_of_bin], 0.0)
    p, q = clipped / max(clipped.sum(), 1), rounded / max(rounded.sum(), 1)
    both = p > 0
    return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-12))).sum())


def mse_range(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """The range of least mean squared error, which balances rounding and clipping errors.

    Rounding costs scale^2 / 12 per value, clipping the squared distance to the end of the range.
    Both ends are searched alternately.
    """
    centers = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    lows = RANGE_FRACTIONS * min(histogram.low, 0.0)
    highs = RANGE_FRACTIONS * max(histogram.high, 0.0)
    low_errors = _clipping_errors(lows, centers < 0, centers, histogram.counts)
    high_errors = _clipping_errors(highs, centers > 0, centers, histogram.counts)
    count = histogram.counts.sum()

    def rounding_errors(a: Any, b: Any) -> Any:
        return count * ((b - a) / STEPS_8_BIT) ** 2 / 12

    best_low, best_high = float(lows[-1]), float(highs[-1])
    for _ in range(2):
        best_high = float(highs[(high_errors + rounding_errors(best_low, highs)).argmin()])
        best_low = float(lows[(low_errors + rounding_errors(lows, best_high)).argmin()])
    return best_low, best_high


def _clipping_errors(
    ends: np.ndarray, side: np.ndarray, centers: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Squared distances of the values outside each end of a range, on one side of 0: (ends,)."""
    beyond = np.abs(centers[side]) - np.abs(ends)[:, None]
    np.maximum(beyond, 0, out=beyond)
    errors: np.ndarray = (beyond**2) @ counts[side].astype(np.float64)
    return errors


RANGE_ESTIMATORS: dict[str, Callable[[Histogram, float], tuple[float, float]]] = {
    "max": max_range,
    "percentile": percentile_range,
    "kl_divergence": kl_range,
    "mse": mse_range,
}
