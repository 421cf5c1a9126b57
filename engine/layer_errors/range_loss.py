"""How much a stored range costs against the best one for the values of some images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.build.int8.statistics.range_estimators import STEPS_8_BIT, Histogram, mse_range

BINS = 1024
MOST_IMAGES = 16
"""Images of which the distribution of values is kept."""
EXACT_DB = 80.0
"""Beyond this SQNR a tensor is stored as good as exactly, and no range is better."""


@dataclass(slots=True)
class RangeLoss:
    """The values of one tensor by image, and what storing them cost.

    `symmetric`: 0 is the middle of the levels, as a target asks, so the best range has equal ends.
    """

    symmetric: bool = False
    _counts: list[np.ndarray] = field(default_factory=list)
    _ends: list[float] = field(default_factory=list)
    _errors: list[float] = field(default_factory=list)
    _signals: list[float] = field(default_factory=list)
    _rounded: list[int] = field(default_factory=list)

    def add(self, exact: np.ndarray, stored: np.ndarray) -> None:
        """Adds one image: its fp32 values, and the same as they are read back."""
        if len(self._counts) == MOST_IMAGES:
            return
        values, difference = exact.reshape(-1), (stored - exact).reshape(-1)
        end = max(float(np.abs(values).max(initial=0.0)), 1e-12)
        bins = ((values + np.float32(end)) * np.float32(BINS / (2 * end))).astype(np.int64)
        self._counts.append(np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS))
        self._ends.append(end)
        self._errors.append(float(np.vdot(difference, difference)))
        self._signals.append(float(np.vdot(values, values)))
        self._rounded.append(int(np.count_nonzero(values)))

    @property
    def db(self) -> float | None:
        """Noise of storing above that of the range of least error, in dB, of the median image.

        The median, because one image with a value that no calibration image has is no wrong range.
        Negative where the stored range suits an image better than the range of least error of all.
        None where nothing is stored but zeros.
        """
        if not any(self._signals):
            return None
        low, high = self._best_range()
        losses = []
        for counts, end, error, signal, rounded in zip(
            self._counts, self._ends, self._errors, self._signals, self._rounded, strict=True
        ):
            noise = _noise(counts, end, low, high, rounded)
            least = max(noise, signal * 10 ** (-EXACT_DB / 10), 1e-30)
            losses.append(10 * np.log10(max(error / least, 1e-3)))
        return float(np.median(losses))

    def _best_range(self) -> tuple[float, float]:
        largest = max(self._ends)
        merged = np.zeros(BINS)
        low = high = 0.0
        for counts, end in zip(self._counts, self._ends, strict=True):
            centers = _centers(end)
            bins = ((centers + largest) * (BINS / (2 * largest))).astype(np.int64)
            merged += np.bincount(np.clip(bins, 0, BINS - 1), counts, BINS)
            present = centers[counts > 0]
            low, high = min(low, float(present.min())), max(high, float(present.max()))
        low, high = mse_range(Histogram(merged, largest, low, high), 100.0)
        end = max(-low, high)
        return (-end, end) if self.symmetric else (low, high)


def _centers(end: float) -> np.ndarray:
    edges = np.linspace(-end, end, BINS + 1)
    return np.asarray((edges[:-1] + edges[1:]) / 2)


def _noise(counts: np.ndarray, end: float, low: float, high: float, rounded: int) -> float:
    """Squared error of clipping, and of rounding `rounded` values; 0 is a level, thus exact."""
    centers = _centers(end)
    beyond = centers - np.clip(centers, low, high)
    rounding = ((high - low) / STEPS_8_BIT) ** 2 / 12
    return float((counts * beyond**2).sum() + rounded * rounding)
