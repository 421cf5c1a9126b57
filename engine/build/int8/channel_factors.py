"""What equalization multiplied the channels of a build by, stored beside the model.

With these, the tensors of an int8 model are comparable with those of its export.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from engine.common.files import save_arrays
from engine.errors import ArtifactMissing
from engine.store.artifacts import FACTORS_FILE


def save_factors(folder: Path, factors: Mapping[str, np.ndarray]) -> None:
    """Writes the factors of each tensor, (channels,), into the folder of the model."""
    values = [np.asarray(factor, np.float64).reshape(-1) for factor in factors.values()]
    save_arrays(
        folder / FACTORS_FILE,
        tensors=np.array(list(factors), np.str_),
        widths=np.array([len(value) for value in values], np.int64),
        factors=np.concatenate(values) if values else np.zeros(0),
    )


def load_factors(folder: Path) -> dict[str, np.ndarray] | None:
    """The factors by tensor; None for a build that was made before they were stored.

    Raises ArtifactMissing where the file is damaged.
    """
    path = folder / FACTORS_FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            names = [str(name) for name in stored["tensors"]]
            parts = np.split(stored["factors"], np.cumsum(stored["widths"])[:-1])
            return dict(zip(names, parts, strict=True)) if names else {}
    except Exception as error:  # the kind of error depends on where the file is damaged
        raise ArtifactMissing(
            f"{FACTORS_FILE} of artifact {folder.name[:12]} is damaged: build it again."
        ) from error
