"""Which images an int8 build has seen: those it was calibrated on, those a search was judged on.

They lie beside the model, by their place in the dataset and by their bytes, so that an evaluation
can tell how many of its own images they are, also where the same files were registered twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from db.models import Artifact
from engine.common.files import write_text
from engine.datasets.reader import DatasetIndex
from engine.datasets.sampling import sample_by_class
from engine.store import artifacts

CALIBRATED, SEARCHED = "calibrated", "searched"
DIGITS = 16


@dataclass(frozen=True, slots=True)
class Overlap:
    """Masks over the images of an evaluation: which the build was calibrated or searched on."""

    calibrated: np.ndarray
    searched: np.ndarray

    @property
    def either(self) -> np.ndarray:
        """(n,) booleans."""
        return np.asarray(self.calibrated | self.searched)


def held_out(labels: np.ndarray, drawn: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most `most` images, evenly by class, that are not `drawn`; ascending."""
    others = np.setdiff1d(np.arange(len(labels)), drawn)
    if len(others) > most:
        others = others[sample_by_class(labels[others], most, seed)]
    return others


def write_seen(
    folder: Path, index: DatasetIndex, calibrated: np.ndarray, searched: np.ndarray
) -> None:
    """Writes down beside the model which images of `index` it has seen."""
    document = {
        "dataset": index.name,
        "dataset_digest": index.digest,
        CALIBRATED: [_identity(index, int(i)) for i in calibrated],
        SEARCHED: [_identity(index, int(i)) for i in searched],
    }
    write_text(folder / artifacts.IMAGES_FILE, json.dumps(document))


def overlap(artifact: Artifact, index: DatasetIndex, images: np.ndarray) -> Overlap | None:
    """Which of `images` (indices in `index`) the build has seen; None where nobody knows.

    Of the same dataset by place, of another by the bytes of the files.
    """
    document = _read(artifact)
    if document is None:
        return _by_drawing_again(artifact, index, images)
    if document["dataset_digest"] == index.digest:
        places = {kind: [row[0] for row in document[kind]] for kind in (CALIBRATED, SEARCHED)}
        return Overlap(*(np.isin(images, places[kind]) for kind in (CALIBRATED, SEARCHED)))
    files = {kind: {(row[1], row[2]) for row in document[kind]} for kind in (CALIBRATED, SEARCHED)}
    sizes = {size for rows in files.values() for size, _ in rows}
    identities = [_identity_if(index, int(i), sizes.__contains__) for i in images]
    return Overlap(
        *(np.array([one in files[kind] for one in identities]) for kind in (CALIBRATED, SEARCHED))
    )


def _by_drawing_again(
    artifact: Artifact, index: DatasetIndex, images: np.ndarray
) -> Overlap | None:
    """For builds from before it was written down: drawing is repeatable on the same dataset."""
    made = (artifact.manifest.get("build") or {}).get("calibration")
    if not made or made.get("dataset_digest") != index.digest or made.get("max_drop"):
        return None
    drawn = sample_by_class(index.labels, int(made["images"]), int(made.get("seed", 0)))
    return Overlap(np.isin(images, drawn), np.zeros(len(images), bool))


def _read(artifact: Artifact) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        path = artifacts.folder_of(artifact.digest) / artifacts.IMAGES_FILE
        document: dict[str, Any] = json.loads(path.read_text())
        return document
    return None


def _identity(index: DatasetIndex, place: int) -> tuple[int, int, str]:
    """(place, bytes, the first digits of their SHA-256)."""
    data = (index.root / index.files[place]).read_bytes()
    return place, len(data), hashlib.sha256(data).hexdigest()[:DIGITS]


def _identity_if(
    index: DatasetIndex, place: int, wanted: Callable[[int], bool]
) -> tuple[int, str] | None:
    """(bytes, digits) of an image whose size is `wanted`; others are not read."""
    with suppress(OSError):
        if wanted((index.root / index.files[place]).stat().st_size):
            return _identity(index, place)[1:]
    return None
