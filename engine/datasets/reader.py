"""Reads the images of a registered dataset as prepared batches, decoding ahead in threads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from db.models import Dataset
from db.session import reading
from engine.datasets import imagenet
from engine.datasets.classes import Classes, ClassSource
from engine.datasets.imagenet import class_names
from engine.datasets.prefetch import prepared_ahead
from engine.datasets.registration import index_path, require_there, way_back
from engine.errors import DatasetInvalid, ImageRejected
from engine.preprocess import PreprocessSpec, crop_pixels, open_image


@dataclass(frozen=True, slots=True)
class DatasetIndex:
    """The files (relative to root), labels and class names of a registered dataset."""

    name: str
    digest: str
    root: Path
    files: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    source: ClassSource = ClassSource.NAMES
    present: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labeled(self) -> bool:
        """Whether the images have labels; those of an unlabelled set are all -1."""
        return bool(len(self.classes))

    @property
    def all_classes(self) -> Classes:
        """The classes with where they come from."""
        return Classes(self.classes, self.source, self.present)


def open_index(dataset: Dataset) -> DatasetIndex:
    """Loads the index; DatasetInvalid if the folder or the index is gone."""
    root, path = require_there(dataset), index_path(dataset.digest)
    if not path.exists():
        raise DatasetInvalid(f"{path} of dataset {dataset.name!r} is gone; {way_back(dataset)}.")
    index = json.loads(path.read_text())
    classes = classes_in(dataset.layout, index)
    return DatasetIndex(
        name=dataset.name,
        digest=dataset.digest,
        root=root,
        files=tuple(index["files"]),
        labels=np.asarray(index["labels"], np.int32),
        classes=classes.names,
        source=classes.source,
        present=classes.present,
    )


def classes_in(layout: str, index: dict[str, Any]) -> Classes:
    """The classes of an index; where they come from is as it was before that was kept."""
    names = tuple(index["classes"])
    if "class_source" in index:
        present = index["present"]
        return Classes(names, ClassSource(index["class_source"]), present and tuple(present))
    if names != class_names():
        return Classes(names, ClassSource.NAMES)
    if "label file" in layout:
        return Classes(names, ClassSource.INDICES)
    return Classes(names, ClassSource.WNIDS, tuple(sorted(set(index["labels"]))))


def classes_of(dataset: Dataset) -> Classes | None:
    """The classes of a registered dataset; None where its images have no labels, or it is gone."""
    try:
        return _kept_classes(dataset.digest, dataset.layout) or None
    except OSError:
        return None


@lru_cache(maxsize=32)
def _kept_classes(digest: str, layout: str) -> Classes:
    return classes_in(layout, json.loads(index_path(digest).read_text()))


def index_of(dataset_digest: str, url: str) -> DatasetIndex:
    """The registered images that an evaluation was made on; DatasetInvalid when they are gone."""
    statement = select(Dataset).where(Dataset.digest == dataset_digest).limit(1)
    with reading(url) as session:
        row = session.scalar(statement)
    if row is None:
        raise DatasetInvalid(
            f"The dataset {dataset_digest[:12]} is not registered here any more; register its "
            f"folder again to see the images."
        )
    return open_index(row)


def read_batches(
    index: DatasetIndex,
    which: Sequence[int] | np.ndarray,
    spec: PreprocessSpec,
    batch: int,
    threads: int,
) -> Iterator[np.ndarray]:
    """float32 (n, 3, crop, crop) batches of the images `which`, in order; the last may be short.

    Raises DatasetInvalid when an image that could be read at registration no longer can.
    """

    def pixels(position: int) -> np.ndarray:
        name = index.files[position]
        try:
            return crop_pixels(open_image(index.root / name, name), spec)
        except ImageRejected as error:
            raise DatasetInvalid(
                f"{name} of dataset {index.name!r} cannot be prepared: {error} If the folder has "
                f"changed, register it again with `dataset add`."
            ) from error

    yield from prepared_ahead([int(position) for position in which], pixels, spec, batch, threads)


@lru_cache(maxsize=1)
def _names_by_wnid() -> dict[str, str]:
    names = imagenet.class_names()
    return {wnid: names[index] for wnid, index in imagenet.wnid_to_index().items()}


def class_name(index: DatasetIndex | None, label: int) -> str:
    """A class as people call it: ImageNet's first name of a wnid, else the folder, or a number."""
    if index is None or not 0 <= label < len(index.classes):
        return f"class {label}"
    own = index.classes[label]
    return _names_by_wnid().get(own, own).partition(",")[0]
