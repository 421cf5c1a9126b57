"""Weights that every framework can make again from the names of its parameters alone."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterable

import numpy as np

# Two inputs: small, and odd in both axes, where pooling and padding rules differ.
INPUT_SHAPES = ((1, 3, 64, 64), (1, 3, 97, 65))
LOGIT_STEP = 25


def seeded_weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a float32 array drawn from a generator seeded by the name.

    Convolutions and linear layers keep the variance of their input about constant; normalization
    gets statistics and gains that are far from trivial.
    """
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith(("_variance", "running_var")):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) == 1 and name.endswith("weight"):
        values = random.uniform(0.5, 1.0, shape)
    elif len(shape) == 1:
        values = random.normal(0.0, 0.2, shape)
    elif len(shape) == 2:
        values = random.normal(0.0, math.prod(shape) ** -0.25, shape)
    else:
        values = random.normal(0.0, math.sqrt(2 / math.prod(shape[1:])), shape)
    return values.astype(np.float32)


def seeded_input(shape: tuple[int, ...]) -> np.ndarray:
    """Return a float32 image batch, standard normal."""
    return np.random.default_rng(math.prod(shape)).normal(size=shape).astype(np.float32)


def names_digest(rows: Iterable[tuple[object, ...]]) -> str:
    """SHA-256 of names and shapes in sorted order, one row a line."""
    lines = sorted(" ".join(str(item) for item in row) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
