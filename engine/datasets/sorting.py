"""valprep: links or copies a flat folder of validation images into a folder per class.

The source is not changed. Every created file is verified; a second call only verifies.
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
from engine.datasets.label_files import LabelOptions
from engine.datasets.layouts import Layout, detect_unsorted_layout
from engine.errors import DatasetInvalid

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SortResult:
    """Counts of the images and classes in the target, and of the files created by this call."""

    images: int
    classes: int
    created: int
    notes: tuple[str, ...] = ()


def sort_by_class(
    root: Path, labeling: LabelOptions | None, target: Path, copy: bool, progress: Progress
) -> SortResult:
    """Creates `<target>/<wnid>/<file>` for images with labels of ImageNet's 1,000 classes.

    Raises DatasetInvalid if the source is no flat labeled folder, if the target contains other
    files in class folders, or if the file system does not support links.
    """
    layout = detect_unsorted_layout(root, labeling or LabelOptions())
    source_of = _source_of_targets(root, layout, target)
    _refuse_other_files(target, source_of)
    created = 0
    for done, (file, source) in enumerate(source_of.items(), 1):
        created += _create(source, file, copy)
        progress(done, len(source_of))
    classes = len({file.parent for file in source_of})
    return SortResult(len(source_of), classes, created, layout.notes)


def _source_of_targets(root: Path, layout: Layout, target: Path) -> dict[Path, Path]:
    """The source of each file in the target."""
    wnids = list(wnid_to_index())
    source_of: dict[Path, Path] = {}
    for name, label in zip(layout.files, layout.labels, strict=True):
        file = target / wnids[label] / Path(name).name
        if file in source_of:
            raise DatasetInvalid(
                f"{root / name} and {source_of[file]} would both become {file}; rename one of them."
            )
        source_of[file] = root / name
    return source_of


def _refuse_other_files(target: Path, source_of: dict[Path, Path]) -> None:
    if not target.is_dir():
        return
    wnids = set(wnid_to_index())
    for folder in target.iterdir():
        if folder.name not in wnids:
            continue
        other = next((file for file in folder.iterdir() if file not in source_of), None)
        if other is not None and not other.name.endswith(".part"):
            raise DatasetInvalid(
                f"{other} exists already and is not an image of that class in the source; choose "
                f"an empty folder, or remove the file."
            )


def _create(source: Path, file: Path, copy: bool) -> bool:
    """Links or copies a file; False if an equal one exists. Raises DatasetInvalid if it differs."""
    if file.exists():
        if not _is_same(source, file):
            raise DatasetInvalid(
                f"{file} exists already with other content than {source.name}; remove it."
            )
        return False
    part = file.with_name(f"{file.name}.part")
    with disk_full_as_error(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        try:
            shutil.copyfile(source, part) if copy else os.link(source, part)
            part.rename(file)
        except OSError as error:
            part.unlink(missing_ok=True)
            if copy:
                raise
            raise DatasetInvalid(
                f"Hard links from {file.parent} to {source.parent} are not possible "
                f"({error.strerror}); use --copy."
            ) from error
    if not _is_same(source, file):
        raise DatasetInvalid(f"{file} differs from {source}: the disk may be failing.")
    return True


def _is_same(source: Path, file: Path) -> bool:
    if file.samefile(source):
        return True
    same_size = file.stat().st_size == source.stat().st_size
    return same_size and file_digest(file) == file_digest(source)
