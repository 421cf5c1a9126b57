"""Reads label files of many formats: the class index of each image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.datasets.class_lists import ClassList, read_class_list
from engine.datasets.classes import Classes, ClassSource
from engine.datasets.folders import join_first
from engine.datasets.imagenet import WNID, class_names, wnid_to_index
from engine.datasets.label_matching import match_lines, path_parts, refuse_conflicting_lines
from engine.datasets.label_tables import (
    EXPECTED,
    LabelTable,
    Line,
    is_numeric,
    parse_class_index,
    read_label_table,
    wnid_of,
)
from engine.datasets.numbering import detect_numbering
from engine.errors import DatasetInvalid

VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})")
_Indices = tuple[tuple[int, ...], Classes, tuple[str, ...]]
"""Class index of each image, the classes, and notes on assumptions."""
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Options of a user for reading labels; None: detected from the folder and its files.

    `columns` of the label file contain (image, class), `base` is the number of the first class,
    `classes` the file of the class list.
    """

    file: Path | None = None
    columns: tuple[str, str] | None = None
    base: int | None = None
    classes: Path | None = None

    def class_list(self) -> ClassList | None:
        """Reads the class list; None if there is none."""
        return read_class_list(self.classes) if self.classes else None


DEFAULT_LABEL_OPTIONS = LabelOptions()


@dataclass(frozen=True, slots=True)
class Labels:
    """The class index of each image, and the classes; `notes` state what was assumed.

    `images` are those with a line in the label file, in the order of the images.
    """

    images: tuple[str, ...]
    indices: tuple[int, ...]
    classes: Classes
    notes: tuple[str, ...]


def label_images(
    images: Sequence[str],
    file: Path,
    labeling: LabelOptions,
    class_list: ClassList | None,
    root: Path | None = None,
) -> Labels:
    """Reads the class of each image from a label file.

    Images are matched by path, else by a unique file name, finally ignoring the suffix. With a
    `root`, `images` are all images of this folder, relative to it; without, they are any subset.
    Raises DatasetInvalid for images without a line, lines without an image of the root, and
    ambiguous classes.
    """
    table = read_label_table(file, labeling.columns)
    if table.in_order:
        lines, matched = _by_order(table, images)
    else:
        lines = list(table.lines)
        matched = match_lines(lines, images, root, file.name)
    labeled = tuple(image for image, row in zip(images, matched, strict=True) if row >= 0)
    texts = [lines[row].label for row in matched if row >= 0]
    numbers = [lines[row].number for row in matched if row >= 0]
    imagenet = _have_imagenet_names(labeled)
    indices, classes, notes = _indices(file, texts, numbers, labeling, class_list, imagenet)
    table_notes = [table.note] if table.note else []
    return Labels(labeled, indices, classes, (*table_notes, *notes))


def labels_by_name(file: Path, labeling: LabelOptions) -> Labels:
    """The labels of a file without access to its images, sorted by name.

    Names are without folders if they are unique this way.
    """
    table = read_label_table(file, labeling.columns)
    if table.in_order:
        raise DatasetInvalid(
            f"{file.name} contains no image names: give lines {EXPECTED}, or register the images."
        )
    full = [path_parts(line.name) for line in table.lines]
    short = [parts[-1] for parts in full]
    names = short if len(set(short)) == len(short) else ["/".join(parts) for parts in full]
    lines = dict(zip(names, table.lines, strict=True))
    if len(lines) < len(names):
        refuse_conflicting_lines(file.name, names, table.lines)
    ordered = tuple(sorted(lines))
    texts = [lines[name].label for name in ordered]
    numbers = [lines[name].number for name in ordered]
    imagenet = _have_imagenet_names(ordered)
    indices = _indices(file, texts, numbers, labeling, labeling.class_list(), imagenet)
    return Labels(ordered, *indices)


def _have_imagenet_names(images: Sequence[str]) -> bool:
    """Whether all file names are those of ImageNet images."""
    wnids = wnid_to_index()
    names = [image.rpartition("/")[2] for image in images]

    def is_imagenet(name: str) -> bool:
        wnid = WNID.match(name)
        return bool(VALIDATION_IMAGE.match(name) or (wnid and wnid.group() in wnids))

    return bool(names) and all(map(is_imagenet, names))


def _indices(
    file: Path,
    texts: Sequence[str],
    lines: Sequence[int],
    labeling: LabelOptions,
    class_list: ClassList | None,
    imagenet: bool,
) -> _Indices:
    """Class indices from the labels as written (`texts`), which stand on these `lines`."""
    by_list = None if class_list is None else _by_list(class_list, texts)
    if by_list is not None:
        return by_list
    if all(parse_class_index(text) is not None for text in texts):
        values = [int(parse_class_index(text) or 0) for text in texts]
        return _by_number(file, values, labeling.base, class_list, imagenet)
    if class_list is None and all(wnid_of(text) for text in texts):
        return _by_wnid(file, [str(wnid_of(text)) for text in texts])
    _require_one_kind(file, texts, lines)
    if class_list is not None:
        first = next(i for i, text in enumerate(texts) if class_list.find(text) is None)
        raise DatasetInvalid(
            f"{file.name}, line {lines[first]}: {texts[first]!r} is not in the class list, or "
            f"occurs there more than once."
        )
    names = tuple(sorted(set(texts)))
    index_of = {name: index for index, name in enumerate(names)}
    note = (
        f"Assumed: the classes are the {len(names):,} names of {file.name} in alphabetical order "
        f"({join_first(names, 3)}); give another order with `--classes FILE`."
    )
    return tuple(index_of[t] for t in texts), Classes(names, ClassSource.NAMES), (note,)


def _by_list(class_list: ClassList, texts: Sequence[str]) -> _Indices | None:
    """By the names or wnids of a class list; None if some are not in the list."""
    matches = [class_list.find(wnid_of(text) or text) for text in texts]
    indices = tuple(index for index in matches if index is not None)
    if len(indices) < len(texts):
        return None
    return indices, Classes(class_list.names, class_list.source), ()


def _require_one_kind(file: Path, texts: Sequence[str], lines: Sequence[int]) -> None:
    """Raises DatasetInvalid for numbers that are no class index, and for mixed kinds of labels."""

    def kind(text: str) -> int:
        return 0 if parse_class_index(text) is not None else 1 if wnid_of(text) else 2

    expected_kind = kind(texts[0])
    for number, text in zip(lines, texts, strict=True):
        if kind(text) != expected_kind or (expected_kind == 2 and is_numeric(text)):
            raise DatasetInvalid(
                f"{file.name}, line {number}: expected {EXPECTED}, found the class {text[:60]!r}"
                + ("." if expected_kind == 2 else f"; other lines have {texts[0][:60]!r}.")
            )


def _by_number(
    file: Path, values: list[int], base: int | None, class_list: ClassList | None, imagenet: bool
) -> _Indices:
    count = len(class_list) if class_list is not None else len(class_names()) if imagenet else None
    what = f"The labels of {file.name}"
    numbering = detect_numbering(set(values), what, count, base, from_one=False)
    notes = [numbering.note] if numbering.note else []
    indices = tuple(value - numbering.base for value in values)
    if class_list is not None:
        return indices, Classes(class_list.names, class_list.source), tuple(notes)
    if numbering.count == len(class_names()):
        if not imagenet:
            notes.append(f"{what} are interpreted as indices of ImageNet's 1,000 classes.")
        return indices, Classes(class_names(), ClassSource.INDICES), tuple(notes)
    numbers = range(numbering.base, numbering.base + numbering.count)
    source = ClassSource.NUMBERS if numbering.complete else ClassSource.OPEN_NUMBERS
    n_missing = numbering.count - len(set(indices))
    missing = f", {n_missing:,} of them without an image" if n_missing else ""
    notes.append(
        f"No class list was given: the classes are {numbers[0]} to {numbers[-1]:,}{missing}."
    )
    return indices, Classes(tuple(map(str, numbers)), source), tuple(notes)


def _by_wnid(file: Path, wnids: list[str]) -> _Indices:
    classes, notes = classes_of_wnids(sorted(set(wnids)), file.name)
    index_of = wnid_to_index()
    if classes.source is not ClassSource.WNIDS:
        index_of = {wnid: index for index, wnid in enumerate(classes.names)}
    return tuple(index_of[wnid] for wnid in wnids), classes, notes


def classes_of_wnids(wnids: Sequence[str], what: str) -> tuple[Classes, tuple[str, ...]]:
    """ImageNet's classes if all wnids are among them, else the wnids themselves as classes."""
    imagenet = wnid_to_index()
    unknown = [wnid for wnid in wnids if wnid not in imagenet]
    if not unknown:
        present = tuple(sorted(imagenet[wnid] for wnid in wnids))
        return Classes(class_names(), ClassSource.WNIDS, present), ()
    note = (
        f"{what}: {len(unknown):,} of {len(wnids):,} wnids are not among ImageNet's 1,000 "
        f"({join_first(unknown, 3)}): the classes are these {len(wnids):,} wnids, sorted."
    )
    return Classes(tuple(sorted(wnids)), ClassSource.NAMES), (note,)


def _by_order(table: LabelTable, images: Sequence[str]) -> tuple[list[Line], list[int]]:
    """Matches a list of wnids without image names: (its lines, the line index of each image).

    By the number in ILSVRC2012_val_XXXXXXXX, else by the sort order of the names.
    """
    lines = list(table.lines)
    names = [image.rpartition("/")[2] for image in images]
    numbers = [VALIDATION_IMAGE.match(name) for name in names]
    rows = [int(number[1]) - 1 for number in numbers if number]
    if len(rows) == len(images) and max(rows) < len(lines):
        return lines, rows
    natural = sorted(images, key=lambda image: [_sort_key(part) for part in _DIGITS.split(image)])
    if len(lines) == len(images) and natural == list(images):
        return lines, list(range(len(lines)))
    raise DatasetInvalid(
        f"{table.path.name} is a list of {len(lines):,} wnids without image names, which cannot be "
        f"matched reliably with {len(images):,} images: give lines '<file> <wnid>'."
    )


def _sort_key(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)
