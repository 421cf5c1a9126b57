"""Draws images evenly over their classes, the same ones every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.datasets.folders import look_into, suffix_of
from engine.datasets.layouts import Layout
from engine.errors import DatasetInvalid


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


LAYOUT = "images to calibrate on"


def draw_to_calibrate(root: Path, suffix: str = "", count: int | None = None) -> Layout:
    """`count` images under `root` whose names end in `suffix`, seeded, evenly over the folders.

    The labels are the ranks of the folders and only spread later draws; there are no classes, so
    that nothing can be evaluated on it. Raises DatasetInvalid where there is no such image.
    """
    images = look_into(root).images
    wanted = f".{suffix.lower().lstrip('.')}" if suffix else ""
    found = sorted(image for image in images if wanted in ("", suffix_of(image)))
    if not found:
        others = ", ".join(sorted({Path(image).suffix for image in images}))
        hint = f"; there are images that end in {others}" if others else ""
        raise DatasetInvalid(f"{root} holds no images that end in .{suffix or '*'}{hint}.")
    folders = sorted({str(Path(name).parent) for name in found})
    rank = {folder: number for number, folder in enumerate(folders)}
    labels = np.array([rank[str(Path(name).parent)] for name in found])
    drawn = range(len(found)) if count is None else draw_by_class(labels, count, seed=0)
    files = tuple(found[int(i)] for i in drawn)
    return Layout(LAYOUT, files, tuple(int(labels[int(i)]) for i in drawn), None)
