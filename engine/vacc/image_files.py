"""Converts a tree of images to input files of the vendor's benchmark, with a list of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import ImageRejected, VaccFileInvalid
from engine.preprocess import open_image
from engine.vacc.npz import write_datalist, write_input

Progress = Callable[[int, int], None]
SUFFIX = ".JPEG"


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """The written files in the order of the list, and the skipped images as (image, reason)."""

    files: tuple[Path, ...]
    left_out: tuple[tuple[Path, str], ...]


def find_images(root: Path, suffix: str = SUFFIX) -> list[Path]:
    """The images under a folder by suffix, sorted. Raises VaccFileInvalid if there are none."""
    if not root.is_dir():
        raise VaccFileInvalid(f"{root} is not a folder.")
    images = sorted(path for path in root.rglob(f"*{suffix}") if path.is_file())
    if not images:
        others = sorted({p.suffix for p in root.rglob("*") if p.is_file() and p.suffix})[:5]
        hint = f"; other suffixes: {', '.join(others)} (see --suffix)" if others else ""
        raise VaccFileInvalid(f"{root} has no files with the suffix {suffix}{hint}.")
    return images


def convert_images(
    images: list[Path], target: Path, datalist: Path, threads: int, progress: Progress
) -> ConversionResult:
    """Writes `<target>/<folder>/<stem>.npz` for each image, then the list of the written files.

    Images are decoded in parallel, and unreadable ones are skipped. Raises VaccFileInvalid if two
    images would be written to the same file.
    """
    outputs = [target / image.parent.name / f"{image.stem}.npz" for image in images]
    _require_distinct(images, outputs)
    for folder in sorted({output.parent for output in outputs}):
        folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for done, reason in enumerate(pool.map(_convert_one, images, outputs), 1):
                if reason is None:
                    files.append(outputs[done - 1])
                else:
                    left_out.append((images[done - 1], reason))
                progress(done, len(images))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    write_datalist(datalist, files)
    return ConversionResult(tuple(files), tuple(left_out))


def _convert_one(image: Path, output: Path) -> str | None:
    try:
        write_input(output, np.asarray(open_image(image)))
    except ImageRejected as error:
        return str(error)
    return None


def _require_distinct(images: list[Path], outputs: list[Path]) -> None:
    image_of: dict[Path, Path] = {}
    for image, output in zip(images, outputs, strict=True):
        if output in image_of:
            raise VaccFileInvalid(
                f"{image} and {image_of[output]} would both be written to "
                f"{output.parent.name}/{output.name}; rename one of them."
            )
        image_of[output] = image
