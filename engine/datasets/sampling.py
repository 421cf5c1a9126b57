"""Samples images evenly over their classes, reproducibly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.datasets.folders import scan_folder, suffix_of
from engine.datasets.layouts import Layout
from engine.errors import DatasetInvalid


def sample_by_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sorted indices of `count` images, spread over the classes as evenly as possible.

    Round-robin over the classes in a random order, with the images of a class in a random order;
    `seed` decides both. `labels` is (n,).
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    classes, inverse = np.unique(labels[order], return_inverse=True)
    turn_of_class = random.permutation(len(classes))
    nth_of_class = np.empty(len(labels), np.int64)
    for number in range(len(classes)):
        members = np.flatnonzero(inverse == number)
        nth_of_class[members] = np.arange(len(members))
    sampled = np.lexsort((turn_of_class[inverse], nth_of_class))[:count]
    return np.sort(order[sampled])


CALIBRATION_LAYOUT = "images to calibrate on"  # stored


def sample_calibration_images(root: Path, suffix: str = "", count: int | None = None) -> Layout:
    """Samples `count` images (None: all) with a suffix, evenly over the folders under `root`.

    The labels are folder numbers and only spread later samples; there are no classes, so the
    dataset cannot be used for evaluation. Raises DatasetInvalid if there is no such image.
    """
    images = scan_folder(root).images
    dotted = f".{suffix.lower().lstrip('.')}" if suffix else ""
    candidates = sorted(image for image in images if dotted in ("", suffix_of(image)))
    if not candidates:
        others = ", ".join(sorted({Path(image).suffix for image in images}))
        hint = f"; it contains images with {others}" if others else ""
        raise DatasetInvalid(f"{root} contains no images with suffix .{suffix or '*'}{hint}.")
    folders = sorted({str(Path(name).parent) for name in candidates})
    number_of = {folder: number for number, folder in enumerate(folders)}
    labels = np.array([number_of[str(Path(name).parent)] for name in candidates])
    sampled = range(len(candidates)) if count is None else sample_by_class(labels, count, seed=0)
    files = tuple(candidates[int(i)] for i in sampled)
    return Layout(CALIBRATION_LAYOUT, files, tuple(int(labels[int(i)]) for i in sampled), None)
