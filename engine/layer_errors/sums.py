"""What is summed up over images for each tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from engine.build.int8.mixed_precision.sensitivity import noise_to_sqnr_db
from engine.layer_errors.range_loss import RangeLoss


@dataclass(slots=True)
class Noise:
    """Powers of signal and error, summed over images."""

    signal: float = 0.0
    error: float = 0.0

    def add(self, expected: np.ndarray, values: np.ndarray) -> None:
        """Adds the values of one image."""
        difference = (values - expected).reshape(-1)
        flat = expected.reshape(-1)
        self.signal += float(np.vdot(flat, flat))
        self.error += float(np.vdot(difference, difference))

    @property
    def sqnr_db(self) -> float | None:
        """SQNR in dB; None where the signal is zero."""
        if not self.signal:
            return None
        return noise_to_sqnr_db(self.error / self.signal)


@dataclass(slots=True)
class Distance:
    """Distances in levels from what the file says, over all values."""

    values: int = 0
    total: float = 0.0
    beyond: int = 0
    largest: float = 0.0

    def add(self, levels: np.ndarray) -> None:
        """Adds the distances of one image."""
        self.values += levels.size
        self.total += float(levels.sum())
        self.beyond += int((levels > 1).sum())
        self.largest = max(self.largest, float(levels.max(initial=0)))


@dataclass(slots=True)
class Deviation:
    """How far computed values are from fp32 as stored, so without storing."""

    values: int = 0
    total: float = 0.0
    power: float = 0.0
    error: float = 0.0

    def add(self, stored: np.ndarray, computed: np.ndarray) -> None:
        """Adds the values of one image."""
        flat, difference = stored.reshape(-1), (computed - stored).reshape(-1)
        self.values += flat.size
        self.total += float(flat.sum(dtype=np.float64))
        self.power += float(np.vdot(flat, flat))
        self.error += float(np.vdot(difference, difference))

    @property
    def rms(self) -> float | None:
        """Root mean square; None before any image."""
        return math.sqrt(self.error / self.values) if self.values else None

    @property
    def share(self) -> float | None:
        """Of the standard deviation of the values; None where they are all equal."""
        if not self.values:
            return None
        variance = self.power / self.values - (self.total / self.values) ** 2
        noise = self.error / self.values
        return math.sqrt(noise / variance) if variance > 1e-9 * self.power / self.values else None


@dataclass(slots=True)
class Sums:
    """Everything that is summed up for one tensor."""

    rounding: Noise = field(default_factory=Noise)
    single: dict[str, Noise] = field(default_factory=dict)
    accumulated: dict[str, Noise] = field(default_factory=dict)
    distance: dict[str, Distance] = field(default_factory=dict)
    range_loss: RangeLoss = field(default_factory=RangeLoss)
    deviation: Deviation = field(default_factory=Deviation)
    clipped: int = 0
    values: int = 0
    lowest: int = 255
    highest: int = -128
