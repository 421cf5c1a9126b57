"""The 8-bit grid of a tensor: a step, and the stored value that stands for 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.build.int8.targets import Activations

SMALLEST_STEP = 1e-9


@dataclass(frozen=True, slots=True)
class Grid:
    """value = (stored - zero) * step; stored in 8 bits, unsigned or signed."""

    step: float
    zero: int
    signed: bool = False

    @property
    def dtype(self) -> type[np.uint8] | type[np.int8]:
        """What is stored."""
        return np.int8 if self.signed else np.uint8


def grid_of(low: float, high: float, activations: Activations = Activations.UNSIGNED) -> Grid:
    """The grid from `low` to `high`, widened to hold 0 exactly; symmetric ones are zero at 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    if activations == Activations.SYMMETRIC:
        return Grid(max(max(-low, high) / 127, SMALLEST_STEP), 0, signed=True)
    step = max((high - low) / 255, SMALLEST_STEP)
    zero = int(np.clip(round(-low / step), 0, 255))
    if activations == Activations.SIGNED:
        return Grid(step, zero - 128, signed=True)
    return Grid(step, zero)
