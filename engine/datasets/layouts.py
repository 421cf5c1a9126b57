"""Recognizes how a folder of images says which class each image belongs to.

Three layouts: a folder per class (named by wnid, by number, or by anything), a flat folder of
`nXXXXXXXX_*` files, and images with a label file (engine.datasets.label_files).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.datasets.class_lists import ClassList, imagenet_list
from engine.datasets.classes import Classes, ClassSource
from engine.datasets.folders import Contents, counted, listed, look_into
from engine.datasets.imagenet import WNID, class_names, wnid_to_index
from engine.datasets.label_files import Labeling, classes_of_wnids, label_images
from engine.datasets.nesting import refuse_nested
from engine.datasets.numbering import MOST_CLASSES, number_classes
from engine.errors import DatasetInvalid

LABEL_FILE = "val_label.txt"
LABEL_FILES = (LABEL_FILE, "val_annotations.txt")
"""Label files that are found without being named; the second is Tiny ImageNet's."""
UNLABELED = "flat, without labels"
PER_CLASS = "folder per class"
IN_A_FOLDER = "in a folder, where the others are in none"
_WNID_AND_NAME = re.compile(r"(n\d{8})(?:[-_ .].+)?")
_TEXTS = (".txt", ".csv", ".tsv", ".json")


@dataclass(frozen=True, slots=True)
class Layout:
    """Images (paths relative to the root) with their class indices, sorted by path.

    `notes` say in sentences what was assumed, and what lies there and is not used.
    """

    name: str
    files: tuple[str, ...]
    labels: tuple[int, ...]
    classes: Classes | None
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by class index; none where there are no labels."""
        return self.classes.names if self.classes else ()


def recognize(root: Path, labeling: Labeling | None = None, unlabelled: bool = False) -> Layout:
    """The layout of a folder; DatasetInvalid says what was found instead of one.

    `unlabelled` images have no classes and the label -1: builds are compared on them, not scored.
    """
    labeling = labeling or Labeling()
    if unlabelled:
        contents = _images_under(root)
        images = tuple(contents.images)
        return Layout(UNLABELED, images, (-1,) * len(images), None, tuple(contents.notes()))
    return _recognize(root, labeling, labeling.class_list())


def _recognize(root: Path, labeling: Labeling, known: ClassList | None) -> Layout:
    contents = _images_under(root)
    file = labeling.file or next((root / n for n in LABEL_FILES if (root / n).is_file()), None)
    if file is not None:
        return _with_label_file(root, contents, file, labeling, known)
    loose = contents.loose()
    if _is_flat(contents, loose):
        return _flat_wnids(root, contents, loose)
    return _folder_per_class(root, contents, labeling, known)


def sortable(root: Path, labeling: Labeling) -> Layout:
    """As `recognize`, of images that have no folder of their class yet, labeled by ImageNet's.

    Raises DatasetInvalid for a folder per class.
    """
    known = labeling.class_list() or imagenet_list()
    if known.source is not ClassSource.INDICES:
        raise DatasetInvalid(
            "valprep makes folders named by ImageNet's wnids, and these classes are others: "
            "`dataset add --classes FILE` takes them as they are."
        )
    layout = _recognize(root, labeling, known)
    if layout.name == PER_CLASS:
        raise DatasetInvalid(
            f"{root} has a folder per class already ({len(layout.files):,} images)."
        )
    return layout


def _nothing(root: Path, contents: Contents) -> str:
    rest = contents.notes()
    return (
        f"{root} holds no images: expected a folder per class, files named nXXXXXXXX_*.JPEG, or "
        f"images with {LABEL_FILE}." + "".join(f" {note}" for note in rest)
    )


def _images_under(root: Path) -> Contents:
    contents = look_into(root)
    if not contents.images:
        raise DatasetInvalid(_nothing(root, contents))
    return contents


def _is_flat(contents: Contents, loose: list[str]) -> bool:
    """Whether the images of the root itself are the dataset, and not those of its folders."""
    if len(loose) == len(contents.images):
        return True
    folders = [folder for folder, images in contents.by_folder().items() if images]
    if all(folder in wnid_to_index() for folder in folders):
        return False
    return len(loose) >= len(contents.images) - len(loose)


def _with_label_file(
    root: Path, contents: Contents, file: Path, labeling: Labeling, known: ClassList | None
) -> Layout:
    found = label_images(contents.images, file, labeling, known, root)
    contents.others[file.suffix.lower()] -= root in file.parents
    contents.others += type(contents.others)()  # without those that are 0 now
    kept = set(found.images)
    deeper = [image for image in contents.images if image not in kept]
    notes = (*found.notes, *_left_out(deeper, IN_A_FOLDER), *contents.notes())
    name = "label file" if any("/" in image for image in kept) else "flat, label file"
    return Layout(name, found.images, found.indices, found.classes, notes)


def _flat_wnids(root: Path, contents: Contents, loose: list[str]) -> Layout:
    wnids = [WNID.match(image) for image in loose]
    known = wnid_to_index()
    strangers = [
        i for i, m in zip(loose, wnids, strict=True) if m is None or m.group() not in known
    ]
    if strangers:
        texts = [name for name in contents.texts if Path(name).suffix.lower() in _TEXTS]
        hint = f" Is it {texts[0]}? Then say `--labels {root / texts[0]}`." if texts else ""
        raise DatasetInvalid(
            f"{root}: {len(strangers)} of {len(loose)} images have no label (the first: "
            f"{strangers[0]}). Add {LABEL_FILE} with lines '<file> <class index>' (another file "
            f"with `--labels`), name the files nXXXXXXXX_*.JPEG, or sort them into a folder per "
            f"class.{hint}"
        )
    labels = tuple(known[match.group()] for match in wnids if match)
    classes = Classes(class_names(), ClassSource.WNIDS, tuple(sorted(set(labels))))
    deeper = [image for image in contents.images if "/" in image]
    notes = _left_out(deeper, IN_A_FOLDER) + contents.notes()
    return Layout("flat, wnid in the name", tuple(loose), labels, classes, tuple(notes))


def _left_out(images: Sequence[str], why: str) -> list[str]:
    if not images:
        return []
    return [f"Left out: {counted(len(images), 'image')} {why} ({listed(list(images), 3)})."]


def _folder_per_class(
    root: Path, contents: Contents, labeling: Labeling, known: ClassList | None
) -> Layout:
    found = contents.by_folder()
    if known is None or any(images and known.find(f) is None for f, images in found.items()):
        refuse_nested(root, found)
    index_of, classes, notes = _class_order(root, found, labeling, known)
    files = [image for folder in sorted(found) if folder in index_of for image in found[folder]]
    labels = tuple(index_of[image.partition("/")[0]] for image in files)
    deeper = [image for image in files if image.count("/") > 1]
    if deeper:
        notes.append(
            f"Used: {counted(len(deeper), 'image')} in folders inside those of the classes "
            f"({listed(deeper, 2)})."
        )
    notes += _left_out(contents.loose(), "in no class's folder")
    notes += contents.notes()
    return Layout(PER_CLASS, tuple(files), labels, classes, tuple(notes))


_Order = tuple[dict[str, int], Classes, list[str]]


def _class_order(
    root: Path, found: dict[str, list[str]], labeling: Labeling, known: ClassList | None
) -> _Order:
    """The class index of each folder that is a class, the classes, and what was assumed.

    Folders without an image keep their place, unless all others have names of a kind that they
    do not have.
    """
    full = [name for name, images in found.items() if images]
    if known is not None:
        return _by_list(root, found, full, labeling, known)
    if _begin_with_wnids(full):
        return _by_wnid(root, found)
    if all(_is_number(name) for name in full):
        return _by_number(root, found, labeling)
    strangers = [name for name in full if name not in wnid_to_index()]
    if len(strangers) < len(full):
        raise DatasetInvalid(
            f"{root}: some folders are ImageNet wnids and some are not "
            f"({listed(strangers, 3)}); use one naming for all classes."
        )
    return _by_name(found)


def _begin_with_wnids(names: list[str]) -> bool:
    """Whether all are wnids, or begin with one of ImageNet's each, as `n02085620-Chihuahua`."""
    if all(WNID.fullmatch(name) for name in names):
        return True
    wnids = {_wnid_of(name) for name in names}
    return len(wnids) == len(names) and wnids <= wnid_to_index().keys()


def _wnid_of(folder: str) -> str:
    """The wnid that a folder's name begins with; empty where there is none."""
    found = _WNID_AND_NAME.fullmatch(folder)
    return found[1] if found else ""


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) <= MOST_CLASSES


def _of_other_kind(found: dict[str, list[str]], kept: dict[str, int]) -> list[str]:
    others = [name for name in found if name not in kept]
    if not others:
        return []
    return [f"No classes by their names, and without an image: the folders {listed(others)}."]


def _empty(found: dict[str, list[str]], kept: dict[str, int], classes: Classes) -> list[str]:
    """Names the classes that have a folder without an image, or none at all."""
    empty = [name for name in kept if name in found and not found[name]]
    notes = []
    if empty:
        notes.append(
            f"Without an image, but with an index: {counted(len(empty), 'class folder')} "
            f"({listed(empty)})."
        )
    lack = len(classes) - len(set(kept.values()))
    if lack and classes.source is not ClassSource.WNIDS:
        have = set(kept.values())
        names = [name for index, name in enumerate(classes.names) if index not in have]
        notes.append(f"Without a folder: {counted(lack, 'class', 'classes')} ({listed(names)}).")
    return notes


def _by_wnid(root: Path, found: dict[str, list[str]]) -> _Order:
    wnids = {name: _wnid_of(name) for name in found if _wnid_of(name)}
    classes, told = classes_of_wnids(sorted(set(wnids.values())), str(root))
    places = wnid_to_index()
    if classes.source is not ClassSource.WNIDS:
        places = {wnid: index for index, wnid in enumerate(classes.names)}
    index_of = {name: places[wnid] for name, wnid in wnids.items()}
    notes = [*told, *_empty(found, index_of, classes), *_of_other_kind(found, index_of)]
    return index_of, classes, notes


def _by_number(root: Path, found: dict[str, list[str]], labeling: Labeling) -> _Order:
    numbers = {name: int(name) for name in found if _is_number(name)}
    _refuse_doubles(root, numbers)
    what = f"The folders of {root}"
    numbering = number_classes(set(numbers.values()), what, None, labeling.base, from_one=True)
    index_of = {name: number - numbering.base for name, number in numbers.items()}
    notes = [numbering.note] if numbering.note else []
    if numbering.count == len(class_names()):
        notes.append(f"{what} are taken for indices of ImageNet's 1,000 classes.")
        classes = Classes(class_names(), ClassSource.INDICES)
    else:
        name_of = {index: name for name, index in index_of.items()}
        names = [name_of.get(i, str(i + numbering.base)) for i in range(numbering.count)]
        open_end = not numbering.complete and (numbering.base == 0 or labeling.base is not None)
        source = ClassSource.OPEN_NUMBERS if open_end else ClassSource.NUMBERS
        classes = Classes(tuple(names), source)
    if not notes:
        notes.append("The folders are numbers: the number is the index of the class.")
    notes += _empty(found, index_of, classes) + _of_other_kind(found, index_of)
    return index_of, classes, notes


def _refuse_doubles(root: Path, numbers: dict[str, int]) -> None:
    by_number: dict[int, str] = {}
    for name, number in numbers.items():
        if number in by_number:
            raise DatasetInvalid(
                f"{root}: the folders {by_number[number]} and {name} are one number; put their "
                f"images into one."
            )
        by_number[number] = name


def _by_name(found: dict[str, list[str]]) -> _Order:
    names = sorted(found)
    index_of = {name: index for index, name in enumerate(names)}
    classes = Classes(tuple(names), ClassSource.NAMES)
    notes = []
    if any(character.isdigit() for name in names for character in name):
        notes.append(
            f"The classes are in the order of their folders' names as text, as torchvision has "
            f"them ({listed(names, 4)}); `--classes FILE` gives another order."
        )
    return index_of, classes, notes + _empty(found, index_of, classes)


def _by_list(
    root: Path,
    found: dict[str, list[str]],
    full: list[str],
    labeling: Labeling,
    known: ClassList,
) -> _Order:
    places = {name: known.find(name) for name in found}
    index_of = {name: place for name, place in places.items() if place is not None}
    strangers = [name for name in full if name not in index_of]
    notes: list[str] = []
    if strangers and all(_is_number(name) for name in full):
        numbers = {name: int(name) for name in found if _is_number(name)}
        _refuse_doubles(root, numbers)
        what = f"The folders of {root}"
        numbering = number_classes(
            set(numbers.values()), what, len(known), labeling.base, from_one=True
        )
        index_of = {name: number - numbering.base for name, number in numbers.items()}
        notes += [numbering.note] if numbering.note else []
    elif strangers:
        raise DatasetInvalid(
            f"{root}: {len(strangers):,} of {len(full):,} folders are not in the class list, or "
            f"more than once ({listed(strangers, 3)}); the list begins {listed(known.names, 3)}."
        )
    twice = len(index_of) - len(set(index_of.values()))
    if twice:
        raise DatasetInvalid(f"{root}: the class list gives {twice:,} folders one class.")
    present = tuple(sorted(index_of.values()))
    wnids = known.source is ClassSource.INDICES and all(WNID.fullmatch(name) for name in full)
    source = ClassSource.WNIDS if wnids else known.source
    classes = Classes(known.names, source, present if wnids else None)
    notes += _empty(found, index_of, classes) + _of_other_kind(found, index_of)
    return index_of, classes, notes
