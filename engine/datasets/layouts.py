"""Recognises how a folder of images says which class each image belongs to.

Three layouts: a folder per class (named by wnid, or by anything), a flat folder of
`nXXXXXXXX_*` files, and a flat folder with a label file of lines `<file> <class index>`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.datasets.imagenet import WNID, class_names, wnid_to_index
from engine.errors import DatasetInvalid

SUFFIXES = frozenset((".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
LABEL_FILE = "val_label.txt"
UNLABELLED = "flat, without labels"


@dataclass(frozen=True, slots=True)
class Layout:
    """Images (paths relative to the root) with their class indices, sorted by path."""

    name: str
    files: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]


def recognise(root: Path, label_file: Path | None = None, unlabelled: bool = False) -> Layout:
    """The layout of a folder; DatasetInvalid says what was found instead of one.

    `unlabelled` images have no classes and the label -1: builds are compared on them, not scored.
    """
    if not root.is_dir():
        raise DatasetInvalid(f"{root} is not a folder.")
    if unlabelled:
        return _without_labels(root)
    labels = label_file or root / LABEL_FILE
    if label_file is not None or labels.is_file():
        return _with_label_file(root, labels)
    flat = _images_in(root)
    if flat:
        return _flat_wnids(root, flat)
    return _folder_per_class(root)


def _without_labels(root: Path) -> Layout:
    images = _images_in(root)
    if not images:
        raise DatasetInvalid(f"{root} holds no images.")
    return Layout(UNLABELLED, tuple(images), (-1,) * len(images), ())


def _images_in(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if Path(e.name).suffix.lower() in SUFFIXES)


def _folder_per_class(root: Path) -> Layout:
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    found = {folder.name: _images_in(folder) for folder in folders}
    found = {name: images for name, images in found.items() if images}
    if not found:
        raise DatasetInvalid(
            f"{root} holds no images: expected a folder per class, files named "
            f"nXXXXXXXX_*.JPEG, or images with {LABEL_FILE}."
        )
    index_of, classes = _class_order(root, sorted(found))
    files = [f"{name}/{image}" for name in sorted(found) for image in found[name]]
    labels = [index_of[name] for name in sorted(found) for _ in found[name]]
    return Layout("folder per class", tuple(files), tuple(labels), classes)


def _class_order(root: Path, names: list[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    known = [name for name in names if name in wnid_to_index()]
    if len(known) == len(names):
        return wnid_to_index(), class_names()
    if known:
        strangers = ", ".join(sorted(set(names) - set(known))[:3])
        raise DatasetInvalid(
            f"{root}: some folders are ImageNet wnids and some are not ({strangers}); "
            f"use one naming for all classes."
        )
    return {name: index for index, name in enumerate(names)}, tuple(names)


def _flat_wnids(root: Path, images: list[str]) -> Layout:
    matches = [WNID.match(image) for image in images]
    strangers = [i for i, m in zip(images, matches, strict=True) if not m or not _known(m.group())]
    if strangers:
        raise DatasetInvalid(
            f"{root}: {len(strangers)} of {len(images)} images have no label (the first: "
            f"{strangers[0]}). Add {LABEL_FILE} with lines '<file> <class index>', name the files "
            f"nXXXXXXXX_*.JPEG, or sort them into a folder per class."
        )
    labels = tuple(wnid_to_index()[match.group()] for match in matches if match)
    return Layout("flat, wnid in the name", tuple(images), labels, class_names())


def _known(wnid: str) -> bool:
    return wnid in wnid_to_index()


def _with_label_file(root: Path, label_file: Path) -> Layout:
    labels = read_labels(label_file)
    images = _images_in(root)
    missing = [image for image in images if image not in labels]
    absent = [name for name in labels if name not in set(images)]
    for names, sentence in (
        (missing, "{n} of {m} images have no line in {f} (the first: {x})."),
        (absent, "{f} names {n} images that are not in {r} (the first: {x})."),
    ):
        if names:
            raise DatasetInvalid(
                sentence.format(n=len(names), m=len(images), f=label_file.name, r=root, x=names[0])
            )
    if not images:
        raise DatasetInvalid(f"{root} holds no images.")
    values = tuple(labels[image] for image in images)
    return Layout("flat, label file", tuple(images), values, class_names())


def read_labels(path: Path) -> dict[str, int]:
    """Class index by file name, of lines `<file> <class index>`; DatasetInvalid names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetInvalid(f"The label file {path} cannot be read: {error}.") from error
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            name, index = _label(path, number, line)
            if name in labels:
                raise DatasetInvalid(f"{path.name}, line {number}: {name} is labelled twice.")
            labels[name] = index
    _check_range(path, labels)
    return labels


def _label(path: Path, number: int, line: str) -> tuple[str, int]:
    name, _, index = line.strip().rpartition(" ")
    if not name or not index.isdecimal():
        raise DatasetInvalid(
            f"{path.name}, line {number}: expected '<file> <class index>', found {line[:60]!r}."
        )
    return name.strip(), int(index)


def _check_range(path: Path, labels: dict[str, int]) -> None:
    outside = [(name, index) for name, index in labels.items() if index >= len(class_names())]
    if not outside:
        return
    name, index = outside[0]
    one_based = max(labels.values()) == len(class_names()) and 0 not in labels.values()
    hint = " The labels seem to count from 1: subtract 1 from each." if one_based else ""
    raise DatasetInvalid(
        f"{path.name}: label {index} of {name} is outside 0 to {len(class_names()) - 1}.{hint}"
    )
