"""The outputs of a build for a list of inputs: one npz each, named so that sorting keeps order.

The vendor's decoder pairs line n of the list with file n of the sorted folder, so each name begins
with the number of its line.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from engine.common.files import disk_full_as_error
from engine.datasets.prefetch import prefetch_batches
from engine.errors import VaccFileInvalid
from engine.preprocess import PreprocessSpec, crop_pixels
from engine.vacc.npz import read_input, write_output

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Passed:
    """One pass over a list: files written, seconds from first to last, ms of each batch."""

    files: tuple[Path, ...]
    elapsed_s: float
    latencies_ms: np.ndarray


def infer(
    run: Callable[[np.ndarray], np.ndarray],
    inputs: list[Path],
    folder: Path,
    spec: PreprocessSpec,
    batch: int,
    threads: int,
    progress: Progress,
) -> Passed:
    """Runs every input and writes its output.

    Raises VaccFileInvalid for a folder that holds other files.
    """
    names = output_names(inputs)
    _claim(folder, names)
    latencies: list[float] = []
    begun, done = time.perf_counter(), 0
    pixels = partial(_pixels, spec=spec)
    for group in prefetch_batches(inputs, pixels, spec, batch, threads):
        before = time.perf_counter()
        scores = run(group)
        latencies.append((time.perf_counter() - before) * 1e3)
        with disk_full_as_error(folder):
            for row in scores:
                write_output(folder / names[done], row)
                done += 1
        progress(done, len(inputs))
    files = tuple(folder / name for name in names)
    return Passed(files, time.perf_counter() - begun, np.asarray(latencies))


def output_names(inputs: list[Path]) -> list[str]:
    """`<number>_<stem>.npz`, the number as wide as the longest."""
    width = max(6, len(str(len(inputs))))
    return [f"{number:0{width}d}_{path.stem}.npz" for number, path in enumerate(inputs)]


def _claim(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    strangers = sorted({path.name for path in folder.iterdir()} - set(names))
    if strangers:
        raise VaccFileInvalid(
            f"{folder} already holds {strangers[0]}, which is no output of this list, and every "
            f"file there is paired with a line of it; name an empty folder."
        )


def _pixels(path: Path, spec: PreprocessSpec) -> np.ndarray:
    return crop_pixels(Image.fromarray(read_input(path)), spec)
