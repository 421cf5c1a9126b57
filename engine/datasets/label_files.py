"""The one reader of label files: which class each image has, whatever wrote the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.datasets.class_lists import ClassList, read_class_list
from engine.datasets.classes import Classes, ClassSource
from engine.datasets.folders import listed
from engine.datasets.imagenet import WNID, class_names, wnid_to_index
from engine.datasets.label_matching import match_lines, parts_of, refuse_doubles
from engine.datasets.label_tables import (
    EXPECTED,
    LabelTable,
    Line,
    is_numeric,
    read_label_table,
    whole_number,
    wnid_of,
)
from engine.datasets.numbering import number_classes
from engine.errors import DatasetInvalid

VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})")
_Found = tuple[tuple[int, ...], Classes, tuple[str, ...]]
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Labeling:
    """What a user says of labels: a file, its columns (name, class), the first number, the classes.

    All may be None: then the folder, the file and what it holds say it themselves.
    """

    file: Path | None = None
    columns: tuple[str, str] | None = None
    base: int | None = None
    classes: Path | None = None

    def class_list(self) -> ClassList | None:
        """The class list, read."""
        return read_class_list(self.classes) if self.classes else None


NOTHING_SAID = Labeling()


@dataclass(frozen=True, slots=True)
class Labels:
    """The class index of each image, and the classes; `notes` say what was assumed.

    `images` are those that have a line, in their order.
    """

    images: tuple[str, ...]
    indices: tuple[int, ...]
    classes: Classes
    notes: tuple[str, ...]


def label_images(
    images: Sequence[str],
    file: Path,
    labeling: Labeling,
    known: ClassList | None,
    root: Path | None = None,
) -> Labels:
    """The class of each image by a label file; `known` are the classes, where they are given.

    Names are matched by their path, else by a file name that is the only one, in the end without
    regard to the suffix. Images are all of a `root`, and relative to it; without one they are some,
    anywhere. Raises DatasetInvalid for images without a line, for lines without an image of the
    root, and for classes that cannot be told.
    """
    table = read_label_table(file, labeling.columns)
    if table.in_order:
        lines, matched = _by_order(table, images)
    else:
        lines = list(table.lines)
        matched = match_lines(lines, images, root, file.name)
    kept = tuple(i for i, place in zip(images, matched, strict=True) if place >= 0)
    texts = [lines[place].label for place in matched if place >= 0]
    numbers = [lines[place].number for place in matched if place >= 0]
    named = _are_imagenet(kept)
    indices, classes, notes = _indices(file, texts, numbers, labeling, known, named)
    told = [table.note] if table.note else []
    return Labels(kept, indices, classes, (*told, *notes))


def labels_by_name(file: Path, labeling: Labeling) -> Labels:
    """The labels of a file whose images are elsewhere, sorted by name.

    Paths before the names are left out where the names alone are distinct.
    """
    table = read_label_table(file, labeling.columns)
    if table.in_order:
        raise DatasetInvalid(
            f"{file.name} names no image: give lines {EXPECTED}, or register the images."
        )
    full = [parts_of(line.name) for line in table.lines]
    short = [parts[-1] for parts in full]
    names = short if len(set(short)) == len(short) else ["/".join(parts) for parts in full]
    lines = dict(zip(names, table.lines, strict=True))
    if len(lines) < len(names):
        refuse_doubles(file.name, names, table.lines)
    ordered = tuple(sorted(lines))
    texts = [lines[name].label for name in ordered]
    numbers = [lines[name].number for name in ordered]
    found = _indices(file, texts, numbers, labeling, labeling.class_list(), _are_imagenet(ordered))
    return Labels(ordered, *found)


def _are_imagenet(images: Sequence[str]) -> bool:
    """Whether all images are called as ImageNet's are."""
    wnids = wnid_to_index()
    bases = [image.rpartition("/")[2] for image in images]

    def known(base: str) -> bool:
        wnid = WNID.match(base)
        return bool(VALIDATION_IMAGE.match(base) or (wnid and wnid.group() in wnids))

    return bool(bases) and all(map(known, bases))


def _indices(
    file: Path,
    texts: Sequence[str],
    lines: Sequence[int],
    labeling: Labeling,
    known: ClassList | None,
    imagenet: bool,
) -> _Found:
    """Class indices of classes as they are written, the classes, and what was assumed."""
    by_list = None if known is None else _by_list(known, texts)
    if by_list is not None:
        return by_list
    if all(whole_number(text) is not None for text in texts):
        values = [int(whole_number(text) or 0) for text in texts]
        return _by_number(file, values, labeling.base, known, imagenet)
    if known is None and all(wnid_of(text) for text in texts):
        return _by_wnid(file, [str(wnid_of(text)) for text in texts])
    _require_one_kind(file, texts, lines)
    if known is not None:
        place = next(i for i, text in enumerate(texts) if known.find(text) is None)
        raise DatasetInvalid(
            f"{file.name}, line {lines[place]}: {texts[place]!r} is no class of the class list, or "
            f"stands there more than once."
        )
    names = tuple(sorted(set(texts)))
    index_of = {name: index for index, name in enumerate(names)}
    note = (
        f"The classes are the {len(names):,} names of {file.name} in alphabetical order "
        f"({listed(names, 3)}); `--classes FILE` gives another order."
    )
    return tuple(index_of[t] for t in texts), Classes(names, ClassSource.NAMES), (note,)


def _by_list(known: ClassList, texts: Sequence[str]) -> _Found | None:
    """By the names or wnids of a class list; None where it does not have them all."""
    found = [known.find(wnid_of(text) or text) for text in texts]
    indices = tuple(index for index in found if index is not None)
    if len(indices) < len(texts):
        return None
    return indices, Classes(known.names, known.source), ()


def _require_one_kind(file: Path, texts: Sequence[str], lines: Sequence[int]) -> None:
    """Raises DatasetInvalid for numbers that are no index, and for names among numbers."""

    def kind(text: str) -> int:
        return 0 if whole_number(text) is not None else 1 if wnid_of(text) else 2

    usual = kind(texts[0])
    for number, text in zip(lines, texts, strict=True):
        if kind(text) != usual or (usual == 2 and is_numeric(text)):
            raise DatasetInvalid(
                f"{file.name}, line {number}: expected {EXPECTED}, found the class {text[:60]!r}"
                + ("." if usual == 2 else f" where the other lines have {texts[0][:60]!r}.")
            )


def _by_number(
    file: Path, values: list[int], base: int | None, known: ClassList | None, imagenet: bool
) -> _Found:
    count = len(known) if known is not None else len(class_names()) if imagenet else None
    what = f"The labels of {file.name}"
    numbering = number_classes(set(values), what, count, base, from_one=False)
    notes = [numbering.note] if numbering.note else []
    found = tuple(value - numbering.base for value in values)
    if known is not None:
        return found, Classes(known.names, known.source), tuple(notes)
    if numbering.count == len(class_names()):
        if not imagenet:
            notes.append(f"{what} are taken for indices of ImageNet's 1,000 classes.")
        return found, Classes(class_names(), ClassSource.INDICES), tuple(notes)
    numbers = range(numbering.base, numbering.base + numbering.count)
    source = ClassSource.NUMBERS if numbering.complete else ClassSource.OPEN_NUMBERS
    gaps = numbering.count - len(set(found))
    lack = f", {gaps:,} of them without an image" if gaps else ""
    notes.append(f"No class list was given: the classes are {numbers[0]} to {numbers[-1]:,}{lack}.")
    return found, Classes(tuple(map(str, numbers)), source), tuple(notes)


def _by_wnid(file: Path, wnids: list[str]) -> _Found:
    classes, notes = classes_of_wnids(sorted(set(wnids)), file.name)
    index_of = wnid_to_index()
    if classes.source is not ClassSource.WNIDS:
        index_of = {wnid: index for index, wnid in enumerate(classes.names)}
    return tuple(index_of[wnid] for wnid in wnids), classes, notes


def classes_of_wnids(wnids: Sequence[str], what: str) -> tuple[Classes, tuple[str, ...]]:
    """ImageNet's classes where all wnids are among them, else these wnids as their own classes."""
    known = wnid_to_index()
    strangers = [wnid for wnid in wnids if wnid not in known]
    if not strangers:
        present = tuple(sorted(known[wnid] for wnid in wnids))
        return Classes(class_names(), ClassSource.WNIDS, present), ()
    note = (
        f"{what}: {len(strangers):,} of {len(wnids):,} wnids are not among ImageNet's 1,000 "
        f"({listed(strangers, 3)}): the classes are these {len(wnids):,} in the order of their "
        f"wnids."
    )
    return Classes(tuple(sorted(wnids)), ClassSource.NAMES), (note,)


def _by_order(table: LabelTable, images: Sequence[str]) -> tuple[list[Line], list[int]]:
    """Of a list of wnids without names: by the number in ILSVRC2012_val_XXXXXXXX, else in order."""
    lines = list(table.lines)
    bases = [image.rpartition("/")[2] for image in images]
    numbers = [VALIDATION_IMAGE.match(base) for base in bases]
    places = [int(number[1]) - 1 for number in numbers if number]
    if len(places) == len(images) and max(places) < len(lines):
        return lines, places
    natural = sorted(images, key=lambda image: [_natural(part) for part in _DIGITS.split(image)])
    if len(lines) == len(images) and natural == list(images):
        return lines, list(range(len(lines)))
    raise DatasetInvalid(
        f"{table.path.name} is a list of {len(lines):,} wnids without names, and cannot be put "
        f"beside {len(images):,} images for certain: give lines '<file> <wnid>'."
    )


def _natural(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)
