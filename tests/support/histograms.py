"""Values with a long tail and their histogram."""

from __future__ import annotations

import numpy as np

from engine.build.int8.statistics.range_estimators import BINS, Histogram


def histogram_of(values: np.ndarray) -> Histogram:
    largest = float(np.abs(values).max())
    counts, _ = np.histogram(values, BINS, (-largest, largest))
    return Histogram(counts, largest, float(values.min()), float(values.max()))


def tailed(count: int = 40_000) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.concatenate([random.normal(0.3, 1, count), [-9.0, 30.0]]).astype(np.float32)
