"""Finds the images of a file of predictions, and their labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from sqlalchemy import select

from db.models import Dataset
from db.session import reading
from engine.common.digests import data_digest
from engine.common.untrusted import plain_name
from engine.datasets.classes import Classes, ClassSource
from engine.datasets.label_files import LabelOptions, labels_by_name
from engine.datasets.locating import index_path
from engine.datasets.reader import classes_from_index
from engine.errors import DatasetInvalid, InvalidRequest
from engine.evaluation.per_image import NO_LABEL
from engine.imports.predictions import Predictions
from engine.store.shared import fetch

MAX_NAME_LENGTH = 100  # of the database column


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images of a dataset: `label` (n,) and, if known, file names (n,).

    `classes` is None if they have no names. `notes` are assumptions about a label file.
    """

    dataset_name: str
    dataset_digest: str
    label: np.ndarray
    name: np.ndarray | None
    classes: Classes | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.label)


def find_images(
    dataset: str,
    predictions: Predictions,
    labeling: LabelOptions,
    per_class: int | None,
    url: str,
) -> ImageSet:
    """The images and labels of the rows of `predictions`.

    A registered dataset has labels. Other images need a label file, a label column in the
    predictions, or `per_class`: row i is of class i // per_class. Raises InvalidRequest for no
    source of labels and for several.
    """
    with reading(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == dataset))
    sources = [
        name
        for name, is_given in (
            (f"dataset {dataset!r} (registered)", row is not None),
            ("--labels", labeling.file is not None),
            ("--images-per-class", per_class is not None),
        )
        if is_given
    ]
    if len(sources) > 1:
        raise InvalidRequest(
            f"The labels are given more than once, by {' and '.join(sources)}: leave one out, or "
            f"give the images another name with --dataset."
        )
    if row is not None:
        return _registered_dataset(row)
    dataset = plain_name(dataset, "The name of the dataset", MAX_NAME_LENGTH)
    if labeling.file is not None:
        return _from_label_file(dataset, labeling.file, labeling)
    if per_class is not None:
        return _sorted_by_class(dataset, len(predictions), per_class)
    if predictions.label is not None:
        return _from_label_column(dataset, predictions)
    raise InvalidRequest(
        f"There is no dataset {dataset!r}, and the images have no labels: register it (`dataset "
        f"add`), or give --labels FILE, a column `label`, or --images-per-class N."
    )


def _registered_dataset(row: Dataset) -> ImageSet:
    path = index_path(row.digest)
    if not fetch(path):
        raise DatasetInvalid(
            f"The index of dataset {row.name!r} is missing; register it again with `dataset add`."
        )
    index = json.loads(path.read_text())
    names = np.asarray([Path(name).name for name in index["files"]])
    labels = np.asarray(index["labels"], np.int64)
    return ImageSet(
        row.name, row.digest, labels, names, classes_from_index(row.layout, index) or None
    )


def _from_label_file(dataset: str, path: Path, labeling: LabelOptions) -> ImageSet:
    labeled = labels_by_name(path, labeling)
    labels = np.asarray(labeled.indices, np.int64)
    numbers = labeled.classes.source in (ClassSource.NUMBERS, ClassSource.OPEN_NUMBERS)
    return ImageSet(
        dataset,
        _digest(list(labeled.images), labels),
        labels,
        np.asarray(labeled.images),
        None if numbers else labeled.classes,
        () if numbers else labeled.notes,
    )


def _sorted_by_class(dataset: str, rows: int, per_class: int) -> ImageSet:
    if rows % per_class:
        raise InvalidRequest(
            f"{rows:,} predictions cannot be divided into classes of {per_class} images each."
        )
    labels = np.arange(rows) // per_class
    return ImageSet(dataset, _digest(None, labels), labels, None, None)


def _from_label_column(dataset: str, predictions: Predictions) -> ImageSet:
    assert predictions.label is not None
    names = predictions.name
    order = np.arange(len(predictions)) if names is None else np.argsort(names, kind="stable")
    labels = predictions.label[order]
    sorted_names = None if names is None else names[order]
    listed = None if sorted_names is None else sorted_names.tolist()
    return ImageSet(dataset, _digest(listed, labels), labels, sorted_names, None)


def _digest(names: list[str] | None, labels: np.ndarray) -> str:
    return data_digest(["outside", names, labels.tolist()])


def match_images(
    predictions: Predictions, images: ImageSet, file: str
) -> tuple[Predictions, np.ndarray]:
    """The predictions in the order of the dataset, and the image index of each.

    They are matched by file name if both have names (of all, the suffix may be left out), else by
    position. Raises InvalidRequest for
    duplicate, unknown or missing names, for a different number of rows, and for labels that differ
    from those of the dataset.
    """
    if predictions.name is None or images.name is None:
        if len(predictions) != len(images):
            raise InvalidRequest(
                f"{file} has {len(predictions):,} rows, but {images.dataset_name} has "
                f"{len(images):,} images; add a column `image` with the file name of each row."
            )
        image_indices = np.arange(len(images))
    else:
        image_indices = _match_names(predictions.name, images, file)
        order = np.argsort(image_indices, kind="stable")
        predictions, image_indices = predictions.rows(order), image_indices[order]
    _check_labels(predictions, images, image_indices, file)
    return predictions, image_indices


def _match_names(names: np.ndarray, images: ImageSet, file: str) -> np.ndarray:
    assert images.name is not None
    index_of = {name: index for index, name in enumerate(images.name.tolist())}
    by_stem = {PurePath(name).stem: name for name in index_of}
    if len(by_stem) == len(index_of) and not set(names.tolist()) & index_of.keys():
        names = np.array([by_stem.get(name, name) for name in names.tolist()])
    if len(index_of) != len(images):
        raise InvalidRequest(
            f"Several images of {images.dataset_name} have the same file name: give the "
            f"predictions in the order of the dataset, without names."
        )
    listed: set[str] = set()
    for row, name in enumerate(names.tolist()):
        if name in listed:
            raise InvalidRequest(f"{file}, row {row}: {name} is listed twice.")
        if name not in index_of:
            raise InvalidRequest(
                f"{file}, row {row}: {name} is not an image of {images.dataset_name}."
            )
        listed.add(name)
    return np.asarray([index_of[name] for name in names.tolist()])


def _check_labels(
    predictions: Predictions, images: ImageSet, image_indices: np.ndarray, file: str
) -> None:
    if predictions.label is None:
        return
    labels = images.label[image_indices]
    wrong = np.flatnonzero((labels != NO_LABEL) & (labels != predictions.label))
    if wrong.size:
        row = int(wrong[0])
        raise InvalidRequest(
            f"{file} has another label than {images.dataset_name} for {wrong.size:,} images (row "
            f"{row}: {predictions.label[row]}, not {labels[row]}); the order of the rows or of the "
            f"classes differs."
        )
