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

import numpy as np

from db.models import Artifact
from engine.common.document import Document
from engine.common.files import write_text
from engine.datasets.reader import DatasetIndex
from engine.datasets.sampling import draw_by_class
from engine.store import artifacts
from engine.store.manifest import BuildManifest

DIGITS = 16


class SeenImages(Document):
    """What lies beside the model: of each image its place in the dataset, bytes, and digest."""

    dataset: str
    dataset_digest: str
    calibrated: list[tuple[int, int, str]]
    searched: list[tuple[int, int, str]]


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
        others = others[draw_by_class(labels[others], most, seed)]
    return others


def write_seen(
    folder: Path, index: DatasetIndex, calibrated: np.ndarray, searched: np.ndarray
) -> None:
    """Writes down beside the model which images of `index` it has seen."""
    seen = SeenImages(
        dataset=index.name,
        dataset_digest=index.digest,
        calibrated=[_identity(index, int(i)) for i in calibrated],
        searched=[_identity(index, int(i)) for i in searched],
    )
    write_text(folder / artifacts.IMAGES_FILE, json.dumps(seen.dump()))


def overlap(artifact: Artifact, index: DatasetIndex, images: np.ndarray) -> Overlap | None:
    """Which of `images` (indices in `index`) the build has seen; None where nobody knows.

    Of the same dataset by place, of another by the bytes of the files.
    """
    seen = _read(artifact)
    if seen is None:
        return _by_drawing_again(artifact, index, images)
    kinds = (seen.calibrated, seen.searched)
    if seen.dataset_digest == index.digest:
        return Overlap(*(np.isin(images, [place for place, _, _ in rows]) for rows in kinds))
    files = [{(size, digest) for _, size, digest in rows} for rows in kinds]
    sizes = {size for known in files for size, _ in known}
    identities = [_identity_if(index, int(i), sizes.__contains__) for i in images]
    return Overlap(*(np.array([one in known for one in identities]) for known in files))


def _by_drawing_again(
    artifact: Artifact, index: DatasetIndex, images: np.ndarray
) -> Overlap | None:
    """For builds from before it was written down: drawing is repeatable on the same dataset."""
    made = BuildManifest.from_artifact(artifact).build.calibration
    if made is None or made.dataset_digest != index.digest or made.max_drop:
        return None
    drawn = draw_by_class(index.labels, made.images, made.seed)
    return Overlap(np.isin(images, drawn), np.zeros(len(images), bool))


def _read(artifact: Artifact) -> SeenImages | None:
    with suppress(OSError, ValueError):
        path = artifacts.folder_of(artifact.digest) / artifacts.IMAGES_FILE
        return SeenImages.model_validate_json(path.read_text())
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
