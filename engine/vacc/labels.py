"""Labels of the images in the vendor's lists: from a label file, or the wnid of the folder."""

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
class ImageLabels:
    """The class index of each image, int64 (n,), the classes, and notes on assumptions."""

    labels: np.ndarray
    classes: Classes
    notes: tuple[str, ...] = ()


def is_label_file(path: Path) -> bool:
    """Whether a file lists images with their classes, and not the names of classes."""
    return contains_labels(path)


def find_labels(
    paths: Sequence[str | PurePath], labeling: LabelOptions, outputs: int | None = None
) -> ImageLabels:
    """The class of each image; `outputs` is the number of outputs of the model, if known.

    Labels come from a label file, by image name, or else from the wnid of the image's folder.
    Raises VaccFileInvalid or DatasetInvalid with the first image that has no label.
    """
    file = labeling.file
    if file is not None and is_label_file(file):
        classes = labeling.class_list()
        if classes is None and outputs == IMAGENET_OUTPUTS:
            classes = imagenet_class_list()
        images = {str(path): None for path in paths}
        labeled = label_images([_with_slashes(i) for i in images], file, labeling, classes)
        index_of = dict(zip(images, labeled.indices, strict=True))
        labels = np.array([index_of[str(path)] for path in paths], np.int64)
        return ImageLabels(labels, labeled.classes, labeled.notes)
    if file is not None:
        read_class_names(file)
    return _labels_by_folder(paths)


def _with_slashes(path: str) -> str:
    return "/".join(path_parts(path)) if "\\" in path else path


def _labels_by_folder(paths: Sequence[str | PurePath]) -> ImageLabels:
    index_of_wnid = wnid_to_index()
    folders = [("", *path_parts(str(path)))[-2] for path in paths]
    missing = [
        path for path, folder in zip(paths, folders, strict=True) if folder not in index_of_wnid
    ]
    if missing:
        raise VaccFileInvalid(
            f"{len(missing):,} of {len(paths):,} images are not in a folder named by a wnid; give "
            f"--label FILE with lines '<file> <class index>' (the first: {missing[0]})."
        )
    labels = np.array([index_of_wnid[folder] for folder in folders], np.int64)
    present = tuple(sorted(set(labels.tolist())))
    return ImageLabels(labels, Classes(class_names(), ClassSource.WNIDS, present))
