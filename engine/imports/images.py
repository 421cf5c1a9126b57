"""Which images a file of predictions is of, and which labels they have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import select

from db.models import Dataset
from db.session import reading
from engine.common.digests import data_digest
from engine.common.untrusted import plain_name
from engine.datasets.classes import Classes, ClassSource
from engine.datasets.label_files import LabelOptions, labels_by_name
from engine.datasets.reader import classes_from_index
from engine.datasets.registration import index_path
from engine.errors import DatasetInvalid, InvalidRequest
from engine.evaluation.per_image import NO_LABEL
from engine.imports.predictions import Predictions

DATASET_LENGTH = 100  # as its column holds it


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images of a dataset: `label` (n,) and, where they are known, their file names (n,).

    `classes` is None where nothing names them. `notes` say what was assumed of a label file.
    """

    dataset_name: str
    dataset_digest: str
    label: np.ndarray
    name: np.ndarray | None
    classes: Classes | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.label)


def image_set(
    dataset: str,
    predictions: Predictions,
    labeling: LabelOptions,
    per_class: int | None,
    url: str,
) -> ImageSet:
    """What the rows of `predictions` are of.

    A registered dataset has its own labels; another one needs them from a label file, from the
    predictions' own column, or from `per_class`: row i is of class i // per_class.
    Raises InvalidRequest when none or several of these say so.
    """
    with reading(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == dataset))
    ways = [
        name
        for name, given in (
            (f"dataset {dataset!r} (registered)", row is not None),
            ("--labels", labeling.file is not None),
            ("--per-class", per_class is not None),
        )
        if given
    ]
    if len(ways) > 1:
        raise InvalidRequest(
            f"The labels are given twice, by {' and by '.join(ways)}: leave one out, or give the "
            f"images another name with --dataset."
        )
    if row is not None:
        return _registered(row)
    dataset = plain_name(dataset, "The name of the dataset", DATASET_LENGTH)
    if labeling.file is not None:
        return _of_label_file(dataset, labeling.file, labeling)
    if per_class is not None:
        return _by_class(dataset, len(predictions), per_class)
    if predictions.label is not None:
        return _of_column(dataset, predictions)
    raise InvalidRequest(
        f"There is no dataset {dataset!r}, and nothing says what the images show: register it "
        f"(`dataset add`), or give --labels FILE, a column `label`, or --per-class N."
    )


def _registered(row: Dataset) -> ImageSet:
    path = index_path(row.digest)
    if not path.is_file():
        raise DatasetInvalid(
            f"The index of dataset {row.name!r} is gone; register it again with `dataset add`."
        )
    index = json.loads(path.read_text())
    names = np.asarray([Path(name).name for name in index["files"]])
    labels = np.asarray(index["labels"], np.int64)
    return ImageSet(
        row.name, row.digest, labels, names, classes_from_index(row.layout, index) or None
    )


def _of_label_file(dataset: str, path: Path, labeling: LabelOptions) -> ImageSet:
    found = labels_by_name(path, labeling)
    labels = np.asarray(found.indices, np.int64)
    numbers = found.classes.source in (ClassSource.NUMBERS, ClassSource.OPEN_NUMBERS)
    return ImageSet(
        dataset,
        _digest(list(found.images), labels),
        labels,
        np.asarray(found.images),
        None if numbers else found.classes,
        () if numbers else found.notes,
    )


def _by_class(dataset: str, rows: int, per_class: int) -> ImageSet:
    if rows % per_class:
        raise InvalidRequest(
            f"{rows:,} predictions are not a whole number of classes of {per_class} images."
        )
    labels = np.arange(rows) // per_class
    return ImageSet(dataset, _digest(None, labels), labels, None, None)


def _of_column(dataset: str, predictions: Predictions) -> ImageSet:
    assert predictions.label is not None
    names = predictions.name
    order = np.arange(len(predictions)) if names is None else np.argsort(names, kind="stable")
    labels = predictions.label[order]
    sorted_names = None if names is None else names[order]
    listed = None if sorted_names is None else sorted_names.tolist()
    return ImageSet(dataset, _digest(listed, labels), labels, sorted_names, None)


def _digest(names: list[str] | None, labels: np.ndarray) -> str:
    return data_digest(["outside", names, labels.tolist()])


def match(predictions: Predictions, images: ImageSet, file: str) -> tuple[Predictions, np.ndarray]:
    """The predictions in the order of the dataset, and the index of the image of each.

    By file name where both sides have names, else by position. Raises InvalidRequest for names
    that are doubled, unknown or missing, for another number of rows, and for labels that are
    not those of the dataset.
    """
    if predictions.name is None or images.name is None:
        if len(predictions) != len(images):
            raise InvalidRequest(
                f"{file} has {len(predictions):,} rows and {images.dataset_name} "
                f"{len(images):,} images; name the image of each row (a column `image`)."
            )
        places = np.arange(len(images))
    else:
        places = _by_name(predictions.name, images, file)
        order = np.argsort(places, kind="stable")
        predictions, places = predictions.rows(order), places[order]
    _require_labels(predictions, images, places, file)
    return predictions, places


def _by_name(names: np.ndarray, images: ImageSet, file: str) -> np.ndarray:
    assert images.name is not None
    place_of = {name: place for place, name in enumerate(images.name.tolist())}
    if len(place_of) != len(images):
        raise InvalidRequest(
            f"Several images of {images.dataset_name} have one file name, so names cannot tell "
            f"them apart: give the predictions in the order of the dataset, without names."
        )
    seen: set[str] = set()
    for row, name in enumerate(names.tolist()):
        if name in seen:
            raise InvalidRequest(f"{file}, row {row}: {name} stands twice.")
        if name not in place_of:
            raise InvalidRequest(
                f"{file}, row {row}: {name} is not an image of {images.dataset_name}."
            )
        seen.add(name)
    return np.asarray([place_of[name] for name in names.tolist()])


def _require_labels(
    predictions: Predictions, images: ImageSet, places: np.ndarray, file: str
) -> None:
    if predictions.label is None:
        return
    known = images.label[places]
    wrong = np.flatnonzero((known != NO_LABEL) & (known != predictions.label))
    if wrong.size:
        row = int(wrong[0])
        raise InvalidRequest(
            f"{file} gives {wrong.size:,} images another label than {images.dataset_name} does "
            f"(row {row}: {predictions.label[row]} against {known[row]}); the order of the rows or "
            f"of the classes differs."
        )
