"""The per-image results of an evaluation: a columnar file with one row per image."""

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
from engine.store.shared import fetch

NO_LABEL = -1
BEYOND_TOP = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PerImage:
    """Columns of n images; a column that is not recorded is None.

    `image` (n,): index in the dataset. `label` (n,): NO_LABEL where there is none. `top` (n, k):
    the k best classes, best first; `top_probability` (n, k): their probabilities. `rank` (n,): rank
    of the label from 0; BEYOND_TOP where only the top k classes are recorded and the label is not
    among them. `truth_probability` (n,): probability of the label. `name` (n,): file names, for
    predictions on images that are not a registered dataset.
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
        """Whether every image has a label."""
        return bool(len(self.label)) and bool((self.label != NO_LABEL).all())

    @property
    def correct(self) -> np.ndarray:
        """(n,) booleans: the top-1 class is the label."""
        return np.asarray(self.rank == 0)

    @property
    def best(self) -> np.ndarray | None:
        """(n,) top-1 class of each image; None where not recorded."""
        return None if self.top is None else self.top[:, 0]

    def counts(self) -> tuple[int | None, int | None]:
        """Numbers of top-1 and top-5 correct images.

        Both None without labels; top-5 None where fewer than five classes are recorded.
        """
        if not self.labeled:
            return None, None
        has_top5 = self.top is None or self.top.shape[1] >= 5 or not (self.rank == BEYOND_TOP).any()
        return int((self.rank == 0).sum()), int((self.rank < 5).sum()) if has_top5 else None

    def subset(self, keep: np.ndarray) -> PerImage:
        """The images selected by a boolean mask or by indices."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        selected: dict[str, Any] = {
            name: None if column is None else column[keep] for name, column in columns.items()
        }
        return PerImage(**selected)


# The names in the stored files are those of the first version.
_STORED_NAMES = {"top": "top5", "top_probability": "top5_probability"}


def save_per_image(path: Path, images: PerImage) -> None:
    """Writes the file atomically."""
    columns = {_STORED_NAMES.get(f.name, f.name): getattr(images, f.name) for f in fields(images)}
    save_arrays(path, **{name: column for name, column in columns.items() if column is not None})


def read_per_image(path: Path) -> PerImage:
    """Reads one file. Raises OSError where it does not exist."""
    with np.load(path, allow_pickle=False) as stored:
        columns = {f.name: stored.get(_STORED_NAMES.get(f.name, f.name)) for f in fields(PerImage)}
    if columns["label"] is None:
        columns["label"] = np.full(len(columns["image"]), NO_LABEL, np.int32)
    return PerImage(**columns)


def load_per_image(row: Evaluation) -> PerImage:
    """The per-image results of an evaluation, fetched from the store where they are absent.

    Raises ArtifactMissing where the file is missing, StoreDamaged where it is damaged there.
    """
    path = settings().home / (row.per_image_path or "nothing")
    fetch(path)
    try:
        return read_per_image(path)
    except OSError as error:
        way_out = "import it again" if row.imported_digest else "evaluate again"
        raise ArtifactMissing(
            f"The per-image results of evaluation {row.id} are missing at {path}: {way_out}."
        ) from error


def find_evaluation(evaluation_id: int, url: str) -> Evaluation:
    """The row of an evaluation. Raises InvalidRequest where it does not exist."""
    with reading(url) as session:
        row = session.get(Evaluation, evaluation_id)
    if row is None:
        raise InvalidRequest(
            f"There is no evaluation {evaluation_id}: `evaluation list` shows all."
        )
    return row


def load_file_names(row: Evaluation, images: PerImage) -> np.ndarray | None:
    """(n,) file names of the images; None where they are not recorded."""
    if images.name is not None:
        return images.name
    path = settings().home / "datasets" / f"{row.dataset_digest}.json"
    if not fetch(path):
        return None
    return np.asarray(json.loads(path.read_text())["files"])[images.image]


def load_class_names(row: Evaluation) -> tuple[str, ...] | None:
    """Class names by index, of a registered dataset or of the 1,000 ImageNet classes, else None."""
    from engine.datasets.imagenet import class_names

    path = settings().home / "datasets" / f"{row.dataset_digest}.json"
    if fetch(path):
        return tuple(json.loads(path.read_text())["classes"])
    return class_names() if EvaluationProtocol.from_row(row).classes == len(class_names()) else None
