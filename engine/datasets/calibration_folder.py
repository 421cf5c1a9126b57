"""Images to calibrate on, labelled or not: any folder, drawn evenly over its subfolders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.datasets.folders import look_into, suffix_of
from engine.datasets.layouts import Layout
from engine.datasets.sampling import draw_by_class
from engine.errors import DatasetInvalid

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
