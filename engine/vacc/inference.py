"""Runs a build over a list of inputs and writes one output npz per input.

The vendor's decoder pairs line n of the list with file n of the sorted folder, so each file name
begins with the number of its line.
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
class InferenceResult:
    """The written files, the total time (s), and the latency of each batch (ms)."""

    files: tuple[Path, ...]
    elapsed_s: float
    latencies_ms: np.ndarray


def run_inference(
    run: Callable[[np.ndarray], np.ndarray],
    inputs: list[Path],
    folder: Path,
    spec: PreprocessSpec,
    batch: int,
    threads: int,
    progress: Progress,
) -> InferenceResult:
    """Runs the model on all inputs and writes their outputs to `folder`.

    Raises VaccFileInvalid if the folder holds other files.
    """
    names = output_names(inputs)
    _check_folder(folder, names)
    latencies: list[float] = []
    started, done = time.perf_counter(), 0
    pixels = partial(_prepare_pixels, spec=spec)
    for group in prefetch_batches(inputs, pixels, spec, batch, threads):
        batch_started = time.perf_counter()
        scores = run(group)
        latencies.append((time.perf_counter() - batch_started) * 1e3)
        with disk_full_as_error(folder):
            for row in scores:
                write_output(folder / names[done], row)
                done += 1
        progress(done, len(inputs))
    files = tuple(folder / name for name in names)
    return InferenceResult(files, time.perf_counter() - started, np.asarray(latencies))


def output_names(inputs: list[Path]) -> list[str]:
    """`<number>_<stem>.npz`, with numbers padded to the same width (at least 6 digits)."""
    width = max(6, len(str(len(inputs))))
    return [f"{number:0{width}d}_{path.stem}.npz" for number, path in enumerate(inputs)]


def _check_folder(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    others = sorted({path.name for path in folder.iterdir()} - set(names))
    if others:
        raise VaccFileInvalid(
            f"{folder} already holds {others[0]}, which is not an output of this list; each file "
            f"in the folder is paired with a line of the list, so give an empty folder."
        )


def _prepare_pixels(path: Path, spec: PreprocessSpec) -> np.ndarray:
    return crop_pixels(Image.fromarray(read_input(path)), spec)
