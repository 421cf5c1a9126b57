"""The 8-bit grids: a step and a zero for each tensor, a step for each output channel of weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.quantize.targets import Activations

SMALLEST_STEP = 1e-9
WEIGHT_SHARES = np.linspace(0.6, 1.0, 33)


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


def quantise_weights(
    weights: np.ndarray, most: int, least_step: np.ndarray | float = SMALLEST_STEP
) -> tuple[np.ndarray, np.ndarray]:
    """(int8 weights, step of each output channel), channels first, values within +-`most`.

    Each channel takes the step of least squared error among shares of its largest weight, and
    none below `least_step`.
    """
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    largest = np.maximum(np.abs(rows).max(axis=1), np.asarray(least_step) * most)
    best = largest / most
    error = np.full(len(rows), np.inf)
    for share in WEIGHT_SHARES:
        step = np.maximum(largest * share / most, least_step)
        rounded = np.clip(np.round(rows / step[:, None]), -most, most) * step[:, None]
        squared = ((rounded - rows) ** 2).sum(axis=1)
        better = squared <= error
        best, error = np.where(better, step, best), np.where(better, squared, error)
    whole = np.clip(np.round(rows / best[:, None]), -most, most).astype(np.int8)
    return whole.reshape(weights.shape), best
