"""Random two-color textures for the demo images, from uniform random numbers and arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A uniform random number in [low, high)."""
    return low + (high - low) * rng.random()


def rotation(rng: np.random.Generator) -> tuple[float, float]:
    """Cosine and sine of a random angle, rounded to be equal on all platforms."""
    angle = uniform(rng, 0.0, 2.0 * math.pi)
    return round(math.cos(angle), 9), round(math.sin(angle), 9)


def _wave(position: np.ndarray) -> np.ndarray:
    """Triangle wave in [0, 1] with period one; a sine would differ between platforms."""
    return np.abs(2.0 * (position - np.floor(position)) - 1.0)


def _sharpen(values: np.ndarray, gain: float) -> np.ndarray:
    return np.minimum(np.maximum((values - 0.5) * gain + 0.5, 0.0), 1.0)


def _rotated(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    cosine, sine = rotation(rng)
    return cosine * x + sine * y, cosine * y - sine * x


def gradient(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    along, _ = _rotated(rng, x, y)
    return _sharpen(along * (1.0 / 64.0) + 0.5, 1.0)


def stripes(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    along, _ = _rotated(rng, x, y)
    period = uniform(rng, 4.0, 14.0)
    return _sharpen(_wave(along * (1.0 / period) + rng.random()), uniform(rng, 1.0, 4.0))


def checks(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    along, across = _rotated(rng, x, y)
    frequency = 1.0 / uniform(rng, 6.0, 16.0)
    first, second = _wave(along * frequency + rng.random()), _wave(across * frequency)
    return _sharpen(first + second - 2.0 * first * second, uniform(rng, 1.5, 4.0))


def dots(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    along, across = _rotated(rng, x, y)
    frequency = 1.0 / uniform(rng, 5.0, 12.0)
    return _sharpen(_wave(along * frequency) * _wave(across * frequency) * 1.6, 3.0)


def cloud(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth noise: a coarse random grid, interpolated."""
    cells = int(rng.integers(3, 12))
    grid = rng.random((cells + 1, cells + 1), dtype=np.float32)
    row, down = _cells(y.size, cells)
    column, right = _cells(x.size, cells)
    rows = grid[row] + (grid[row + 1] - grid[row]) * down[:, None]
    return rows[:, column] + (rows[:, column + 1] - rows[:, column]) * right


def _cells(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `size` pixels: the index of its grid cell, and its position in it (0 to 1)."""
    position = (np.arange(size, dtype=np.float32) + 0.5) * (cells / size)
    cell = position.astype(np.intp)
    return cell, position - cell.astype(np.float32)


Texture = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]
TEXTURES: tuple[Texture, ...] = (gradient, stripes, checks, dots, cloud)


def random_texture(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A random kind of texture; x (1, w) and y (h, 1) in pixels -> (h, w) in [0, 1]."""
    return TEXTURES[int(rng.integers(len(TEXTURES)))](rng, x, y)
