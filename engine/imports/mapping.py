"""Columns of a file of predictions with other names than those that the import knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.common.files import save_arrays
from engine.errors import InvalidRequest
from engine.imports.predictions import (
    IMAGE_NAMES,
    LABEL_NAMES,
    SCORE_NAMES,
    TOP_NAMES,
    TOP_PROBABILITY_NAMES,
)
from engine.imports.tables import Columns, read_columns

ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "top5": ("Top classes, best first", TOP_NAMES),
    "scores": ("A score for each class", SCORE_NAMES),
    "image": ("File name of the image", IMAGE_NAMES),
    "label": ("True class", LABEL_NAMES),
    "top5_probability": ("Probabilities of the top classes", TOP_PROBABILITY_NAMES),
}
"""What a column can be, under the name that the import reads: a label, and names in use."""
PREDICTIONS = ("top5", "scores")


def detect_roles(columns: Columns) -> dict[str, str]:
    """The column of each role, by its name; roles without a column are left out.

    A column of fractions under a name for both is scores; one column has one role.
    """
    found: dict[str, str] = {}
    for role, (_, names) in ROLES.items():
        for name in names:
            if name not in columns or name in found.values():
                continue
            fractions = columns[name].dtype.kind == "f"
            if (role == "top5" and fractions) or (role == "scores" and "top5" in found):
                continue
            found[role] = name
            break
    return found


def write_mapped(path: Path, roles: Mapping[str, str], folder: Path) -> Path:
    """Writes the chosen columns to `folder` under the names that the import reads.

    Raises InvalidRequest without a column of predictions, with two, and for a missing column.
    """
    if sum(role in roles for role in PREDICTIONS) != 1:
        raise InvalidRequest(
            f"{path.name}: choose one column of predictions: the top classes or the scores."
        )
    columns = read_columns(path)
    missing = [name for name in roles.values() if name not in columns]
    if missing:
        raise InvalidRequest(f"{path.name} has no column {missing[0]}: choose another one.")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.npz"
    save_arrays(target, **{role: columns[name] for role, name in roles.items()})
    return target
