"""Which class an image of the vendor's lists shows: by a label file, or by its folder's wnid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from engine.datasets.class_lists import imagenet_class_list
from engine.datasets.classes import Classes, ClassSource
from engine.datasets.imagenet import class_names, wnid_to_index
from engine.datasets.label_files import LabelOptions, label_images
from engine.datasets.label_matching import path_parts
from engine.datasets.label_tables import contains_labels
from engine.errors import VaccFileInvalid
from engine.vacc.result_lines import read_class_names

IMAGENET_OUTPUTS = len(class_names())


@dataclass(frozen=True, slots=True)
class Truth:
    """The class index of each image, int64 (n,), the classes, and what was assumed."""

    labels: np.ndarray
    classes: Classes
    notes: tuple[str, ...] = ()


def is_label_file(path: Path) -> bool:
    """Whether a file gives classes to images, rather than names to classes."""
    return contains_labels(path)


def truth_of(
    paths: Sequence[str | PurePath], labeling: LabelOptions, outputs: int | None = None
) -> Truth:
    """The class of each path; `outputs` are those of the network, where they are known.

    From a label file, by the images' names; else from the wnid of the folder that an image lies
    in. Raises VaccFileInvalid or DatasetInvalid naming the first image without a label.
    """
    file = labeling.file
    if file is not None and is_label_file(file):
        known = labeling.class_list()
        if known is None and outputs == IMAGENET_OUTPUTS:
            known = imagenet_class_list()
        images = {str(path): None for path in paths}
        found = label_images([_with_slashes(i) for i in images], file, labeling, known)
        index_of = dict(zip(images, found.indices, strict=True))
        labels = np.array([index_of[str(path)] for path in paths], np.int64)
        return Truth(labels, found.classes, found.notes)
    if file is not None:
        read_class_names(file)
    return _by_folder(paths)


def _with_slashes(path: str) -> str:
    return "/".join(path_parts(path)) if "\\" in path else path


def _by_folder(paths: Sequence[str | PurePath]) -> Truth:
    known = wnid_to_index()
    folders = [("", *path_parts(str(path)))[-2] for path in paths]
    missing = [path for path, folder in zip(paths, folders, strict=True) if folder not in known]
    if missing:
        raise VaccFileInvalid(
            f"{len(missing):,} of {len(paths):,} images have no folder named by a wnid; give "
            f"--label FILE with lines '<file> <class index>' (the first: {missing[0]})."
        )
    labels = np.array([known[folder] for folder in folders], np.int64)
    present = tuple(sorted(set(labels.tolist())))
    return Truth(labels, Classes(class_names(), ClassSource.WNIDS, present))
