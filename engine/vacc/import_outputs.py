"""Puts outputs of an accelerator into the table as an imported evaluation: the one seam to it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from sqlalchemy import select

from db.enums import Precision
from db.models import Dataset, Evaluation
from db.session import reading
from engine.common.files import save_arrays
from engine.config import settings
from engine.datasets.reader import open_index
from engine.imports.evaluation import OutsideEvaluation, import_evaluation


@dataclass(frozen=True, slots=True)
class Said:
    """What is said about outputs whose files do not say it themselves."""

    model_id: str
    precision: Precision
    source: str
    dataset: str


def record(
    said: Said,
    names: Sequence[str],
    labels: np.ndarray,
    ids: np.ndarray,
    probabilities: np.ndarray,
    url: str,
) -> tuple[Evaluation, bool]:
    """Records (n, 5) best classes of images; the row, and whether it was there before.

    Images are found in a registered dataset by name, with or without their suffix. Raises
    InvalidRequest for images or labels that are not the dataset's, LabelsMismatch at chance level.
    """
    columns = {
        "image": np.asarray(_full_names(said.dataset, names, url)),
        "label": labels,
        "top5": ids,
        "top5_probability": probabilities,
    }
    with tempfile.TemporaryDirectory(dir=settings().folder("tmp")) as folder:
        path = Path(folder) / "vamp-outputs.npz"
        save_arrays(path, **columns)
        asked = OutsideEvaluation(
            file=path,
            model_id=said.model_id,
            precision=said.precision,
            source=said.source,
            dataset=said.dataset,
        )
        return import_evaluation(asked, url)


def _full_names(dataset: str, names: Sequence[str], url: str) -> list[str]:
    with reading(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == dataset))
    files = [PurePath(file).name for file in open_index(row).files] if row else []
    by_stem = {PurePath(file).stem: file for file in files}
    return [by_stem.get(name, name) for name in names]
