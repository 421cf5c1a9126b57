"""Batches of exactly one size, for models that take no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def in_batches(
    run: Callable[[np.ndarray], np.ndarray], images: np.ndarray, size: int | None
) -> np.ndarray:
    """Runs all images in batches of exactly `size` (None: one batch) and joins the results."""
    if size is None or size == len(images):
        return run(images)
    return np.concatenate([run(part) for part in filled(images, size)])[: len(images)]


def filled(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Batches of exactly `size`; the last one is padded with copies of its last image."""
    for start in range(0, len(images), size):
        part = images[start : start + size]
        missing = size - len(part)
        yield np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
