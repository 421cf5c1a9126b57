"""Draws images evenly over their classes, the same ones every time."""

from __future__ import annotations

import numpy as np


def draw_by_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` images, as evenly over the classes as they allow; sorted, seeded.

    Classes take turns in a random order, each giving its images in a random order.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    classes, inverse = np.unique(labels[order], return_inverse=True)
    turn_of_class = random.permutation(len(classes))
    nth_of_class = np.empty(len(labels), np.int64)
    for number in range(len(classes)):
        members = np.flatnonzero(inverse == number)
        nth_of_class[members] = np.arange(len(members))
    drawn = np.lexsort((turn_of_class[inverse], nth_of_class))[:count]
    return np.sort(order[drawn])
