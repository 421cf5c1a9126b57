"""Reads registered datasets: the index of files and labels, and batches of preprocessed images."""

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
from engine.datasets.locating import index_path
from engine.datasets.prefetch import prefetch_batches
from engine.datasets.registration import recovery_hint, require_folder
from engine.errors import DatasetInvalid, ImageRejected, StoreDamaged, StoreUnavailable
from engine.preprocess import PreprocessSpec, crop_pixels, open_image
from engine.store.shared import fetch


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
        """Whether the images have labels; without, all are -1."""
        return bool(len(self.classes))

    @property
    def all_classes(self) -> Classes:
        """The classes with their source."""
        return Classes(self.classes, self.source, self.present)


def open_index(dataset: Dataset) -> DatasetIndex:
    """Loads the index; raises DatasetInvalid if the folder or the index is missing."""
    root, path = require_folder(dataset), index_path(dataset.digest)
    if not fetch(path):
        raise DatasetInvalid(
            f"{path} of dataset {dataset.name!r} is missing; {recovery_hint(dataset)}."
        )
    index = json.loads(path.read_text())
    classes = classes_from_index(dataset.layout, index)
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


def classes_from_index(layout: str, index: dict[str, Any]) -> Classes:
    """The classes of an index file; files of earlier versions lack the source, which is derived."""
    names = tuple(index["classes"])
    if "class_source" in index:
        present = index["present"]
        return Classes(names, ClassSource(index["class_source"]), present and tuple(present))
    if names != class_names():
        return Classes(names, ClassSource.NAMES)
    if "label file" in layout:
        return Classes(names, ClassSource.INDICES)
    return Classes(names, ClassSource.WNIDS, tuple(sorted(set(index["labels"]))))


def load_classes(dataset: Dataset) -> Classes | None:
    """The classes of a registered dataset; None if it has no labels or its index is missing."""
    try:
        fetch(index_path(dataset.digest))
        return _load_classes(dataset.digest, dataset.layout) or None
    except (OSError, StoreDamaged, StoreUnavailable):
        return None


@lru_cache(maxsize=32)
def _load_classes(digest: str, layout: str) -> Classes:
    return classes_from_index(layout, json.loads(index_path(digest).read_text()))


def open_index_by_digest(dataset_digest: str, url: str) -> DatasetIndex:
    """The index of the registered dataset with this digest; raises DatasetInvalid if missing."""
    statement = select(Dataset).where(Dataset.digest == dataset_digest).limit(1)
    with reading(url) as session:
        row = session.scalar(statement)
    if row is None:
        raise DatasetInvalid(
            f"Dataset {dataset_digest[:12]} is no longer registered; register its folder again to "
            f"see the images."
        )
    return open_index(row)


def read_batches(
    index: DatasetIndex,
    images: Sequence[int] | np.ndarray,
    spec: PreprocessSpec,
    batch: int,
    threads: int,
) -> Iterator[np.ndarray]:
    """Yields batches float32 (n, 3, crop, crop) of the given image indices, in order.

    The last batch may be smaller. Raises DatasetInvalid for an image that is unreadable now.
    """

    def pixels(position: int) -> np.ndarray:
        name = index.files[position]
        try:
            return crop_pixels(open_image(index.root / name, name), spec)
        except ImageRejected as error:
            raise DatasetInvalid(
                f"{name} of dataset {index.name!r} cannot be preprocessed: {error} If the folder "
                f"has changed, register it again with `dataset add`."
            ) from error

    yield from prefetch_batches([int(image) for image in images], pixels, spec, batch, threads)


@lru_cache(maxsize=1)
def _names_by_wnid() -> dict[str, str]:
    names = imagenet.class_names()
    return {wnid: names[index] for wnid, index in imagenet.wnid_to_index().items()}


def class_name(index: DatasetIndex | None, label: int) -> str:
    """The display name of a class: ImageNet's first name for a wnid, else the name or number."""
    if index is None or not 0 <= label < len(index.classes):
        return f"class {label}"
    name = index.classes[label]
    return _names_by_wnid().get(name, name).partition(",")[0]
