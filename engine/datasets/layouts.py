"""Detects the layout of a folder of images: how the class of each image is given.

Three layouts: a folder per class (named by wnid, by number, or freely), a flat folder of
`nXXXXXXXX_*` files, and images with a label file (engine.datasets.label_files).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.datasets.class_lists import ClassList, imagenet_class_list
from engine.datasets.classes import Classes, ClassSource
from engine.datasets.folders import FolderContents, count_noun, join_first, scan_folder
from engine.datasets.imagenet import WNID, class_names, wnid_to_index
from engine.datasets.label_files import LabelOptions, classes_of_wnids, label_images
from engine.datasets.nesting import refuse_nested
from engine.datasets.numbering import MAX_CLASSES, detect_numbering
from engine.errors import DatasetInvalid

LABEL_FILE = "val_label.txt"
LABEL_FILES = (LABEL_FILE, "val_annotations.txt")
"""Names of label files that are found by default; the second is Tiny ImageNet's."""
UNLABELED = "flat, without labels"
PER_CLASS = "folder per class"
IN_SUBFOLDERS = "in subfolders"
_WNID_AND_NAME = re.compile(r"(n\d{8})(?:[-_ .].+)?")
_TEXTS = (".txt", ".csv", ".tsv", ".json")


@dataclass(frozen=True, slots=True)
class Layout:
    """Images (paths relative to the root) with their class indices, sorted by path.

    `name` is stored. `notes` are sentences on assumptions and on unused files.
    """

    name: str
    files: tuple[str, ...]
    labels: tuple[int, ...]
    classes: Classes | None
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in index order; empty if there are no labels."""
        return self.classes.names if self.classes else ()


def detect_layout(
    root: Path, labeling: LabelOptions | None = None, unlabelled: bool = False
) -> Layout:
    """Detects the layout of a folder; raises DatasetInvalid with what was found instead.

    `unlabelled` images have no classes and the label -1: builds can be compared, not scored.
    """
    labeling = labeling or LabelOptions()
    if unlabelled:
        contents = _images_under(root)
        images = tuple(contents.images)
        return Layout(UNLABELED, images, (-1,) * len(images), None, tuple(contents.notes()))
    return _recognize(root, labeling, labeling.class_list())


def _recognize(root: Path, labeling: LabelOptions, class_list: ClassList | None) -> Layout:
    contents = _images_under(root)
    file = labeling.file or next((root / n for n in LABEL_FILES if (root / n).is_file()), None)
    if file is not None:
        return _with_label_file(root, contents, file, labeling, class_list)
    flat_images = contents.root_images()
    if _is_flat(contents, flat_images):
        return _flat_wnids(root, contents, flat_images)
    return _folder_per_class(root, contents, labeling, class_list)


def detect_unsorted_layout(root: Path, labeling: LabelOptions) -> Layout:
    """Like `recognize`, for images with ImageNet labels that are not in class folders yet.

    Raises DatasetInvalid for a folder per class.
    """
    class_list = labeling.class_list() or imagenet_class_list()
    if class_list.source is not ClassSource.INDICES:
        raise DatasetInvalid(
            "valprep creates folders named by ImageNet wnids, but these are other classes; "
            "register the images as they are with `dataset add --classes FILE`."
        )
    layout = _recognize(root, labeling, class_list)
    if layout.name == PER_CLASS:
        raise DatasetInvalid(
            f"{root} already has a folder per class ({len(layout.files):,} images)."
        )
    return layout


def _no_images_message(root: Path, contents: FolderContents) -> str:
    return (
        f"{root} contains no images: expected a folder per class, files named nXXXXXXXX_*.JPEG, or "
        f"images with {LABEL_FILE}." + "".join(f" {note}" for note in contents.notes())
    )


def _images_under(root: Path) -> FolderContents:
    contents = scan_folder(root)
    if not contents.images:
        raise DatasetInvalid(_no_images_message(root, contents))
    return contents


def _is_flat(contents: FolderContents, flat_images: list[str]) -> bool:
    """Whether the dataset is the images directly in the root, rather than those in its folders."""
    if len(flat_images) == len(contents.images):
        return True
    folders = [folder for folder, images in contents.by_folder().items() if images]
    if all(folder in wnid_to_index() for folder in folders):
        return False
    return len(flat_images) >= len(contents.images) - len(flat_images)


def _with_label_file(
    root: Path,
    contents: FolderContents,
    file: Path,
    labeling: LabelOptions,
    class_list: ClassList | None,
) -> Layout:
    labels = label_images(contents.images, file, labeling, class_list, root)
    contents.others[file.suffix.lower()] -= root in file.parents
    contents.others += type(contents.others)()  # removes counts of 0
    labeled = set(labels.images)
    unused = [image for image in contents.images if image not in labeled]
    notes = (*labels.notes, *_unused_note(unused, IN_SUBFOLDERS), *contents.notes())
    name = "label file" if any("/" in image for image in labeled) else "flat, label file"
    return Layout(name, labels.images, labels.indices, labels.classes, notes)


def _flat_wnids(root: Path, contents: FolderContents, flat_images: list[str]) -> Layout:
    matches = [WNID.match(image) for image in flat_images]
    index_of = wnid_to_index()
    unlabeled = [
        image
        for image, match in zip(flat_images, matches, strict=True)
        if match is None or match.group() not in index_of
    ]
    if unlabeled:
        texts = [name for name in contents.texts if Path(name).suffix.lower() in _TEXTS]
        hint = (
            f" If {texts[0]} is the label file, add `--labels {root / texts[0]}`." if texts else ""
        )
        raise DatasetInvalid(
            f"{root}: {len(unlabeled)} of {len(flat_images)} images have no label (the first: "
            f"{unlabeled[0]}). Add {LABEL_FILE} with lines '<file> <class index>' (another file "
            f"with `--labels`), name the files nXXXXXXXX_*.JPEG, or sort them into a folder per "
            f"class.{hint}"
        )
    labels = tuple(index_of[match.group()] for match in matches if match)
    classes = Classes(class_names(), ClassSource.WNIDS, tuple(sorted(set(labels))))
    unused = [image for image in contents.images if "/" in image]
    notes = _unused_note(unused, IN_SUBFOLDERS) + contents.notes()
    return Layout("flat, wnid in the name", tuple(flat_images), labels, classes, tuple(notes))


def _unused_note(images: Sequence[str], where: str) -> list[str]:
    if not images:
        return []
    return [
        f"Not used: {count_noun(len(images), 'image')} {where} ({join_first(list(images), 3)})."
    ]


def _folder_per_class(
    root: Path, contents: FolderContents, labeling: LabelOptions, class_list: ClassList | None
) -> Layout:
    by_folder = contents.by_folder()
    if class_list is None or any(
        images and class_list.find(folder) is None for folder, images in by_folder.items()
    ):
        refuse_nested(root, by_folder)
    index_of, classes, notes = _class_order(root, by_folder, labeling, class_list)
    files = [
        image for folder in sorted(by_folder) if folder in index_of for image in by_folder[folder]
    ]
    labels = tuple(index_of[image.partition("/")[0]] for image in files)
    nested = [image for image in files if image.count("/") > 1]
    if nested:
        notes.append(
            f"Included: {count_noun(len(nested), 'image')} in subfolders of the class folders "
            f"({join_first(nested, 2)})."
        )
    notes += _unused_note(contents.root_images(), "in no class folder")
    notes += contents.notes()
    return Layout(PER_CLASS, tuple(files), labels, classes, tuple(notes))


_Order = tuple[dict[str, int], Classes, list[str]]
"""Class index of each class folder, the classes, and notes on assumptions."""


def _class_order(
    root: Path,
    by_folder: dict[str, list[str]],
    labeling: LabelOptions,
    class_list: ClassList | None,
) -> _Order:
    """Detects which folders are classes, and their order.

    An empty folder keeps its index, unless its name is of another kind than those of all folders
    with images.
    """
    non_empty = [name for name, images in by_folder.items() if images]
    if class_list is not None:
        return _by_list(root, by_folder, non_empty, labeling, class_list)
    if _begin_with_wnids(non_empty):
        return _by_wnid(root, by_folder)
    if all(_is_number(name) for name in non_empty):
        return _by_number(root, by_folder, labeling)
    others = [name for name in non_empty if name not in wnid_to_index()]
    if len(others) < len(non_empty):
        raise DatasetInvalid(
            f"{root}: some folders are ImageNet wnids and some are not "
            f"({join_first(others, 3)}); use one naming for all classes."
        )
    return _by_name(by_folder)


def _begin_with_wnids(names: list[str]) -> bool:
    """Whether all are wnids, or start with distinct ImageNet wnids, as `n02085620-Chihuahua`."""
    if all(WNID.fullmatch(name) for name in names):
        return True
    wnids = {_wnid_of(name) for name in names}
    return len(wnids) == len(names) and wnids <= wnid_to_index().keys()


def _wnid_of(folder: str) -> str:
    """The wnid at the start of a folder name; empty if there is none."""
    match = _WNID_AND_NAME.fullmatch(folder)
    return match[1] if match else ""


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) <= MAX_CLASSES


def _non_class_note(by_folder: dict[str, list[str]], index_of: dict[str, int]) -> list[str]:
    others = [name for name in by_folder if name not in index_of]
    if not others:
        return []
    return [f"Empty folders that are not classes by their name: {join_first(others)}."]


def _empty_class_notes(
    by_folder: dict[str, list[str]], index_of: dict[str, int], classes: Classes
) -> list[str]:
    """Notes on classes with an empty folder, and on classes without a folder."""
    empty = [name for name in index_of if name in by_folder and not by_folder[name]]
    notes = []
    if empty:
        notes.append(
            f"Classes without images: {count_noun(len(empty), 'empty class folder')} "
            f"({join_first(empty)})."
        )
    indices = set(index_of.values())
    n_missing = len(classes) - len(indices)
    if n_missing and classes.source is not ClassSource.WNIDS:
        names = [name for index, name in enumerate(classes.names) if index not in indices]
        count = count_noun(n_missing, "class", "classes")
        notes.append(f"Without a folder: {count} ({join_first(names)}).")
    return notes


def _by_wnid(root: Path, by_folder: dict[str, list[str]]) -> _Order:
    wnids = {name: _wnid_of(name) for name in by_folder if _wnid_of(name)}
    classes, wnid_notes = classes_of_wnids(sorted(set(wnids.values())), str(root))
    index_of_wnid = wnid_to_index()
    if classes.source is not ClassSource.WNIDS:
        index_of_wnid = {wnid: index for index, wnid in enumerate(classes.names)}
    index_of = {name: index_of_wnid[wnid] for name, wnid in wnids.items()}
    notes = [
        *wnid_notes,
        *_empty_class_notes(by_folder, index_of, classes),
        *_non_class_note(by_folder, index_of),
    ]
    return index_of, classes, notes


def _by_number(root: Path, by_folder: dict[str, list[str]], labeling: LabelOptions) -> _Order:
    numbers = {name: int(name) for name in by_folder if _is_number(name)}
    _refuse_equal_numbers(root, numbers)
    what = f"The folders of {root}"
    numbering = detect_numbering(set(numbers.values()), what, None, labeling.base, from_one=True)
    index_of = {name: number - numbering.base for name, number in numbers.items()}
    notes = [numbering.note] if numbering.note else []
    if numbering.count == len(class_names()):
        notes.append(f"{what} are interpreted as indices of ImageNet's 1,000 classes.")
        classes = Classes(class_names(), ClassSource.INDICES)
    else:
        name_of = {index: name for name, index in index_of.items()}
        names = [name_of.get(i, str(i + numbering.base)) for i in range(numbering.count)]
        open_end = not numbering.complete and (numbering.base == 0 or labeling.base is not None)
        source = ClassSource.OPEN_NUMBERS if open_end else ClassSource.NUMBERS
        classes = Classes(tuple(names), source)
    if not notes:
        notes.append("The folder names are numbers: the number is the class index.")
    notes += _empty_class_notes(by_folder, index_of, classes)
    notes += _non_class_note(by_folder, index_of)
    return index_of, classes, notes


def _refuse_equal_numbers(root: Path, numbers: dict[str, int]) -> None:
    by_number: dict[int, str] = {}
    for name, number in numbers.items():
        if number in by_number:
            raise DatasetInvalid(
                f"{root}: the folders {by_number[number]} and {name} are the same number; move "
                f"their images into one folder."
            )
        by_number[number] = name


def _by_name(by_folder: dict[str, list[str]]) -> _Order:
    names = sorted(by_folder)
    index_of = {name: index for index, name in enumerate(names)}
    classes = Classes(tuple(names), ClassSource.NAMES)
    notes = []
    if any(character.isdigit() for name in names for character in name):
        notes.append(
            f"The classes are sorted by folder name as text, as in torchvision "
            f"({join_first(names, 4)}); give another order with `--classes FILE`."
        )
    return index_of, classes, notes + _empty_class_notes(by_folder, index_of, classes)


def _by_list(
    root: Path,
    by_folder: dict[str, list[str]],
    non_empty: list[str],
    labeling: LabelOptions,
    class_list: ClassList,
) -> _Order:
    matches = {name: class_list.find(name) for name in by_folder}
    index_of = {name: index for name, index in matches.items() if index is not None}
    unknown = [name for name in non_empty if name not in index_of]
    notes: list[str] = []
    if unknown and all(_is_number(name) for name in non_empty):
        numbers = {name: int(name) for name in by_folder if _is_number(name)}
        _refuse_equal_numbers(root, numbers)
        what = f"The folders of {root}"
        numbering = detect_numbering(
            set(numbers.values()), what, len(class_list), labeling.base, from_one=True
        )
        index_of = {name: number - numbering.base for name, number in numbers.items()}
        notes += [numbering.note] if numbering.note else []
    elif unknown:
        raise DatasetInvalid(
            f"{root}: {len(unknown):,} of {len(non_empty):,} folders are not in the class list, or "
            f"occur there more than once ({join_first(unknown, 3)}); the list starts with "
            f"{join_first(class_list.names, 3)}."
        )
    n_repeated = len(index_of) - len(set(index_of.values()))
    if n_repeated:
        raise DatasetInvalid(
            f"{root}: {n_repeated:,} folders have the same class as another folder in the class "
            f"list; merge them."
        )
    present = tuple(sorted(index_of.values()))
    wnids = class_list.source is ClassSource.INDICES and all(map(WNID.fullmatch, non_empty))
    source = ClassSource.WNIDS if wnids else class_list.source
    classes = Classes(class_list.names, source, present if wnids else None)
    notes += _empty_class_notes(by_folder, index_of, classes)
    notes += _non_class_note(by_folder, index_of)
    return index_of, classes, notes
