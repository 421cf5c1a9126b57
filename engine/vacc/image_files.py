"""image2npz: a tree of images becomes input files of the vendor's benchmark, and their list."""

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
class Converted:
    """The files written, in the order of the list, and (image, reason) of those left out."""

    files: tuple[Path, ...]
    left_out: tuple[tuple[Path, str], ...]


def find_images(root: Path, suffix: str = SUFFIX) -> list[Path]:
    """The images under a folder by suffix, sorted. Raises VaccFileInvalid where there are none."""
    if not root.is_dir():
        raise VaccFileInvalid(f"{root} is not a folder.")
    found = sorted(path for path in root.rglob(f"*{suffix}") if path.is_file())
    if not found:
        others = sorted({p.suffix for p in root.rglob("*") if p.is_file() and p.suffix})[:5]
        hint = f"; there are files that end in {', '.join(others)} (see --suffix)" if others else ""
        raise VaccFileInvalid(f"{root} holds no files that end in {suffix}{hint}.")
    return found


def convert(
    images: list[Path], target: Path, datalist: Path, threads: int, progress: Progress
) -> Converted:
    """Writes `<target>/<folder>/<stem>.npz` for each image, then the list of those written.

    Images are decoded in parallel and none is held. Those that cannot be read are left out of the
    list and named. Raises VaccFileInvalid when two images would become one file.
    """
    places = [target / image.parent.name / f"{image.stem}.npz" for image in images]
    _require_distinct(images, places)
    for folder in sorted({place.parent for place in places}):
        folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for done, reason in enumerate(pool.map(_convert_one, images, places), 1):
                if reason is None:
                    files.append(places[done - 1])
                else:
                    left_out.append((images[done - 1], reason))
                progress(done, len(images))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    write_datalist(datalist, files)
    return Converted(tuple(files), tuple(left_out))


def _convert_one(image: Path, place: Path) -> str | None:
    try:
        write_input(place, np.asarray(open_image(image)))
    except ImageRejected as error:
        return str(error)
    return None


def _require_distinct(images: list[Path], places: list[Path]) -> None:
    seen: dict[Path, Path] = {}
    for image, place in zip(images, places, strict=True):
        if place in seen:
            raise VaccFileInvalid(
                f"{image} and {seen[place]} would both become {place.parent.name}/{place.name}; "
                f"rename one of them."
            )
        seen[place] = image
