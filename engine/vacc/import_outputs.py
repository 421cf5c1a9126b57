"""Records the outputs of an accelerator as an imported evaluation."""

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
class OutputDescription:
    """Facts about the outputs that their files do not hold."""

    model_id: str
    precision: Precision
    source: str
    dataset: str


def record_outputs(
    description: OutputDescription,
    names: Sequence[str],
    labels: np.ndarray,
    ids: np.ndarray,
    probabilities: np.ndarray,
    url: str,
) -> tuple[Evaluation, bool]:
    """Records the top-5 classes (n, 5) of images; returns the row, and whether it existed before.

    Images are matched with a registered dataset by name, with or without suffix. Raises
    InvalidRequest for images or labels that are not in the dataset, LabelsMismatch for an accuracy
    at chance level.
    """
    columns = {
        "image": np.asarray(_names_with_suffix(description.dataset, names, url)),
        "label": labels,
        "top5": ids,
        "top5_probability": probabilities,
    }
    with tempfile.TemporaryDirectory(dir=settings().folder("tmp")) as folder:
        path = Path(folder) / "vamp-outputs.npz"
        save_arrays(path, **columns)
        outside = OutsideEvaluation(
            file=path,
            model_id=description.model_id,
            precision=description.precision,
            source=description.source,
            dataset=description.dataset,
        )
        return import_evaluation(outside, url)


def _names_with_suffix(dataset: str, names: Sequence[str], url: str) -> list[str]:
    with reading(url) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == dataset))
    files = [PurePath(file).name for file in open_index(row).files] if row else []
    by_stem = {PurePath(file).stem: file for file in files}
    return [by_stem.get(name, name) for name in names]
