"""valprep: a flat folder of validation images becomes a folder per class, by link or by copy.

Nothing of the source is moved or changed. Every file made is verified, and a second call makes
nothing and verifies again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.common.digests import file_digest
from engine.common.files import disk_full_as_error
from engine.datasets.imagenet import wnid_to_index
from engine.datasets.label_files import Labeling
from engine.datasets.layouts import Layout, sortable
from engine.errors import DatasetInvalid

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Sorted:
    """How many images stand in their class's folder, and how many of them this call put there."""

    images: int
    classes: int
    made: int
    notes: tuple[str, ...] = ()


def sort_by_class(
    root: Path, labeling: Labeling | None, target: Path, copy: bool, progress: Progress
) -> Sorted:
    """Fills `<target>/<wnid>/<file>` from images with labels of ImageNet's 1,000 classes.

    Raises DatasetInvalid: no flat labeled folder, another file where an image belongs, files in
    the target that are no images of the source, or a file system that cannot link.
    """
    layout = sortable(root, labeling or Labeling())
    places = _places(root, layout, target)
    _require_no_strangers(target, places)
    made = 0
    for done, (place, source) in enumerate(places.items(), 1):
        made += _put(source, place, copy)
        progress(done, len(places))
    classes = len({place.parent for place in places})
    return Sorted(len(places), classes, made, layout.notes)


def _places(root: Path, layout: Layout, target: Path) -> dict[Path, Path]:
    wnids = list(wnid_to_index())
    places: dict[Path, Path] = {}
    for name, label in zip(layout.files, layout.labels, strict=True):
        place = target / wnids[label] / Path(name).name
        if place in places:
            raise DatasetInvalid(
                f"{root / name} and {places[place]} would both become {place}; rename one of them."
            )
        places[place] = root / name
    return places


def _require_no_strangers(target: Path, places: dict[Path, Path]) -> None:
    if not target.is_dir():
        return
    known = set(wnid_to_index())
    for folder in target.iterdir():
        if folder.name not in known:
            continue
        stranger = next((file for file in folder.iterdir() if file not in places), None)
        if stranger is not None and not stranger.name.endswith(".part"):
            raise DatasetInvalid(
                f"{stranger} is there already and is no image of that class in the source; name an "
                f"empty folder, or remove it."
            )


def _put(source: Path, place: Path, copy: bool) -> bool:
    """Whether a file was made; one that is there must be the same."""
    if place.exists():
        if not _same(source, place):
            raise DatasetInvalid(
                f"{place} is there already with other content than {source.name}; remove it."
            )
        return False
    part = place.with_name(f"{place.name}.part")
    with disk_full_as_error(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        try:
            shutil.copyfile(source, part) if copy else os.link(source, part)
            part.rename(place)
        except OSError as error:
            part.unlink(missing_ok=True)
            if copy:
                raise
            raise DatasetInvalid(
                f"{place.parent} cannot hold hard links to {source.parent} ({error.strerror}); "
                f"use --copy."
            ) from error
    if not _same(source, place):
        raise DatasetInvalid(f"{place} is not what {source} is: the disk may be failing.")
    return True


def _same(source: Path, place: Path) -> bool:
    if place.samefile(source):
        return True
    same_size = place.stat().st_size == source.stat().st_size
    return same_size and file_digest(place) == file_digest(source)
