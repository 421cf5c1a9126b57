"""The per-image results of an evaluation: one columnar file, one row an image, in one order."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from db.models import Evaluation
from db.session import reading
from engine.common.files import save_arrays
from engine.config import settings
from engine.errors import ArtifactMissing, InvalidRequest
from engine.store.protocols import EvaluationProtocol

NO_LABEL = -1
BEYOND_TOP = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PerImage:
    """Columns of n images; what was not recorded is None.

    `image` is the index in the dataset, `label` NO_LABEL where there is none. `top` (n, k) are the
    best classes, best first, `top_probability` (n, k) theirs. `rank` is the place of the truth
    from 0; where only the best k classes are known, a truth that is not among them has
    BEYOND_TOP. `truth_probability` is that of the label. `name` is the image's file, for
    predictions of images that are not a registered dataset.
    """

    image: np.ndarray
    label: np.ndarray
    rank: np.ndarray
    top: np.ndarray | None = None
    top_probability: np.ndarray | None = None
    truth_probability: np.ndarray | None = None
    name: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.image)

    @property
    def labeled(self) -> bool:
        """Whether there is a truth to compare with."""
        return bool(len(self.label)) and bool((self.label != NO_LABEL).all())

    @property
    def right(self) -> np.ndarray:
        """(n,) booleans: the best class is the label."""
        return np.asarray(self.rank == 0)

    @property
    def best(self) -> np.ndarray | None:
        """(n,) the best class of each image."""
        return None if self.top is None else self.top[:, 0]

    def counts(self) -> tuple[int | None, int | None]:
        """(top-1, top-5) counts; None without labels, and top-5 None where fewer are known."""
        if not self.labeled:
            return None, None
        known = self.top is None or self.top.shape[1] >= 5 or not (self.rank == BEYOND_TOP).any()
        return int((self.rank == 0).sum()), int((self.rank < 5).sum()) if known else None

    def subset(self, keep: np.ndarray) -> PerImage:
        """The images at some places, given as a mask or as indices."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        kept: dict[str, Any] = {
            name: None if column is None else column[keep] for name, column in columns.items()
        }
        return PerImage(**kept)


# Files use the names that they have had from the start.
_STORED = {"top": "top5", "top_probability": "top5_probability"}


def save(path: Path, images: PerImage) -> None:
    """Writes the file whole or not at all."""
    columns = {_STORED.get(f.name, f.name): getattr(images, f.name) for f in fields(images)}
    save_arrays(path, **{name: column for name, column in columns.items() if column is not None})


def load_file(path: Path) -> PerImage:
    """Reads one file. Raises OSError where there is none."""
    with np.load(path, allow_pickle=False) as stored:
        found = {f.name: stored.get(_STORED.get(f.name, f.name)) for f in fields(PerImage)}
    if found["label"] is None:
        found["label"] = np.full(len(found["image"]), NO_LABEL, np.int32)
    return PerImage(**found)


def load(row: Evaluation) -> PerImage:
    """The per-image results of an evaluation. Raises ArtifactMissing with the way out."""
    path = settings().home / (row.per_image_path or "nothing")
    try:
        return load_file(path)
    except OSError as error:
        way_out = "import it again" if row.imported_digest else "evaluate again"
        raise ArtifactMissing(
            f"The per-image results of evaluation {row.id} are gone from {path}; {way_out}."
        ) from error


def find(evaluation_id: int, url: str) -> Evaluation:
    """The row of an evaluation; InvalidRequest if there is none."""
    with reading(url) as session:
        row = session.get(Evaluation, evaluation_id)
    if row is None:
        raise InvalidRequest(
            f"There is no evaluation {evaluation_id}; `evaluation list` shows them."
        )
    return row


def names_of(row: Evaluation, images: PerImage) -> np.ndarray | None:
    """(n,) file names of the images, or None where nobody knows them."""
    if images.name is not None:
        return images.name
    path = settings().home / "datasets" / f"{row.dataset_digest}.json"
    if not path.is_file():
        return None
    return np.asarray(json.loads(path.read_text())["files"])[images.image]


def class_names_of(row: Evaluation) -> tuple[str, ...] | None:
    """Names of the dataset's classes by index, where it is registered or is ImageNet's 1,000."""
    from engine.datasets.imagenet import class_names

    path = settings().home / "datasets" / f"{row.dataset_digest}.json"
    if path.is_file():
        return tuple(json.loads(path.read_text())["classes"])
    return class_names() if EvaluationProtocol.of(row).classes == len(class_names()) else None
