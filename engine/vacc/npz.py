"""Reads and writes the npz files of the vendor's tools, and the lists of their paths.

An input holds `input_0`: uint8 (3, height, width), RGB, in the original size of the image. An
output holds `output_0`: scores (1, classes). Pickled objects are never loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.common.arrays import ArraysInvalid, read_npz
from engine.common.files import is_file, save_arrays, write_text
from engine.errors import VaccFileInvalid
from engine.preprocess import MAX_PIXELS
from engine.text import quoted, unprintable

INPUT_KEY, OUTPUT_KEY = "input_0", "output_0"
MAX_BYTES = 4 * MAX_PIXELS
MAX_LIST_BYTES, MAX_PATH_LENGTH = 100_000_000, 4_000


def read_datalist(path: Path, must_exist: bool = True) -> list[Path]:
    """The paths of a list, one per line, in order.

    Raises VaccFileInvalid for an unreadable or empty list and, if they `must_exist`, missing files.
    """
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise VaccFileInvalid(
                f"{path} is larger than {MAX_LIST_BYTES / 1e6:.0f} MB: it is not a list of files."
            )
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise VaccFileInvalid(f"The list {path} cannot be read: {reason}.") from error
    files = [Path(line.strip()) for line in lines if line.strip()]
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_PATH_LENGTH or unprintable(line) is not None:
            raise VaccFileInvalid(
                f"{path.name}, line {number}: {quoted(line, 60)} is not a file path; one per "
                f"line is expected."
            )
    if not files:
        raise VaccFileInvalid(f"The list {path} is empty.")
    missing = [file for file in files if not is_file(file)] if must_exist else []
    if missing:
        raise VaccFileInvalid(
            f"{len(missing):,} of {len(files):,} files in {path.name} do not exist (the first: "
            f"{missing[0]}); write the list again with image2npz."
        )
    return files


def write_datalist(path: Path, files: Sequence[Path]) -> None:
    """Writes the absolute paths, one per line, atomically."""
    write_text(path, "".join(f"{file.absolute()}\n" for file in files))


def read_input(path: Path) -> np.ndarray:
    """The pixels of an input file: uint8 (height, width, 3), RGB."""
    pixels = _read(path, INPUT_KEY)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[0] != 3 or 0 in pixels.shape:
        raise VaccFileInvalid(
            f"{path}: {INPUT_KEY} is {pixels.dtype} {list(pixels.shape)}; expected uint8 "
            f"[3, height, width]."
        )
    if pixels.shape[1] * pixels.shape[2] > MAX_PIXELS:
        raise VaccFileInvalid(f"{path} has more than {MAX_PIXELS:,} pixels, which is the limit.")
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def write_input(path: Path, pixels: np.ndarray) -> None:
    """Writes uint8 (height, width, 3) RGB pixels as the vendor's input file."""
    save_arrays(path, **{INPUT_KEY: np.ascontiguousarray(pixels.transpose(2, 0, 1))})


def read_output(path: Path) -> np.ndarray:
    """The scores of one image, float32 (classes,).

    Raises VaccFileInvalid for several images in one file, and for values that are not scores.
    """
    scores = _read(path, OUTPUT_KEY)
    if scores.dtype.kind not in "fiu":
        raise VaccFileInvalid(f"{path}: {OUTPUT_KEY} holds {scores.dtype}, not numbers.")
    if scores.ndim > 1 and scores.shape[0] != 1:
        raise VaccFileInvalid(
            f"{path}: {OUTPUT_KEY} holds the scores of {scores.shape[0]} images, but a file "
            f"holds one image; split it, or run vamp again with --datalist."
        )
    flat = scores.reshape(-1)
    if flat.size < 2 or flat.size != max(scores.shape):
        raise VaccFileInvalid(
            f"{path}: {OUTPUT_KEY} is {list(scores.shape)}; expected [1, classes]."
        )
    if not np.isfinite(flat).all():
        raise VaccFileInvalid(f"{path}: {OUTPUT_KEY} holds values that are not finite.")
    return np.asarray(flat, np.float32)


def write_output(path: Path, scores: np.ndarray) -> None:
    """Writes the scores of one image, (classes,), as the vendor's output file."""
    save_arrays(path, **{OUTPUT_KEY: np.asarray(scores[None], np.float32)})


def _read(path: Path, key: str) -> np.ndarray:
    try:
        return read_npz(path, MAX_BYTES, key)[key]
    except ArraysInvalid as error:
        raise VaccFileInvalid(f"{path} {error}.") from error
    except OSError as error:
        raise VaccFileInvalid(f"{path} cannot be read: {error.strerror or error}.") from error
