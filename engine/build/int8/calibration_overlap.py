"""Images that an int8 build used: for calibration, and for the accuracy-constrained search.

The lists are stored beside the model, with the index and the content of each image, so that an
evaluation can count the overlap with its own images, also where files are registered twice.
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
from engine.datasets.sampling import sample_by_class
from engine.store import artifacts
from engine.store.manifest import BuildManifest

DIGEST_LENGTH = 16


class BuildImages(Document):
    """Images used by a build: (index in the dataset, size in bytes, start of the SHA-256) of each.

    Stored beside the model.
    """

    dataset: str
    dataset_digest: str
    calibrated: list[tuple[int, int, str]]
    searched: list[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Masks over the images of an evaluation: used for calibration, used by the search."""

    calibrated: np.ndarray
    searched: np.ndarray

    @property
    def any_use(self) -> np.ndarray:
        """Images used for either purpose: booleans, (n,)."""
        return np.asarray(self.calibrated | self.searched)


def select_held_out(
    labels: np.ndarray, calibrated: np.ndarray, max_images: int, seed: int
) -> np.ndarray:
    """At most `max_images` images that are not `calibrated`, balanced by class; ascending."""
    candidates = np.setdiff1d(np.arange(len(labels)), calibrated)
    if len(candidates) > max_images:
        candidates = candidates[sample_by_class(labels[candidates], max_images, seed)]
    return candidates


def write_build_images(
    folder: Path, index: DatasetIndex, calibrated: np.ndarray, searched: np.ndarray
) -> None:
    """Writes the lists of images that the build used into the folder of the model."""
    build_images = BuildImages(
        dataset=index.name,
        dataset_digest=index.digest,
        calibrated=[_identity(index, int(i)) for i in calibrated],
        searched=[_identity(index, int(i)) for i in searched],
    )
    write_text(folder / artifacts.IMAGES_FILE, json.dumps(build_images.dump()))


def find_overlap(artifact: Artifact, index: DatasetIndex, images: np.ndarray) -> Overlap | None:
    """Which of `images` (indices in `index`) the build used; None where this is unknown.

    In the same dataset images are compared by index, in another one by the content of the files.
    """
    build_images = _read(artifact)
    if build_images is None:
        return _repeat_sampling(artifact, index, images)
    uses = (build_images.calibrated, build_images.searched)
    if build_images.dataset_digest == index.digest:
        return Overlap(
            *(
                np.isin(images, [index_in_dataset for index_in_dataset, _, _ in rows])
                for rows in uses
            )
        )
    files = [{(size, digest) for _, size, digest in rows} for rows in uses]
    sizes = {size for used_files in files for size, _ in used_files}
    identities = [_identity_if_size(index, int(i), sizes.__contains__) for i in images]
    return Overlap(
        *(np.array([identity in used_files for identity in identities]) for used_files in files)
    )


def _repeat_sampling(artifact: Artifact, index: DatasetIndex, images: np.ndarray) -> Overlap | None:
    """For builds without stored lists: repeats the sampling, which is deterministic."""
    calibration = BuildManifest.from_artifact(artifact).build.calibration
    if calibration is None or calibration.dataset_digest != index.digest or calibration.max_drop:
        return None
    calibrated = sample_by_class(index.labels, calibration.images, calibration.seed)
    return Overlap(np.isin(images, calibrated), np.zeros(len(images), bool))


def _read(artifact: Artifact) -> BuildImages | None:
    with suppress(OSError, ValueError):
        path = artifacts.folder_of(artifact.digest) / artifacts.IMAGES_FILE
        return BuildImages.model_validate_json(path.read_text())
    return None


def _identity(index: DatasetIndex, index_in_dataset: int) -> tuple[int, int, str]:
    """(index in the dataset, size in bytes, the first DIGEST_LENGTH digits of the SHA-256)."""
    data = (index.root / index.files[index_in_dataset]).read_bytes()
    return index_in_dataset, len(data), hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]


def _identity_if_size(
    index: DatasetIndex, index_in_dataset: int, is_candidate_size: Callable[[int], bool]
) -> tuple[int, str] | None:
    """(size in bytes, digest) of an image with a candidate size; other files are not read."""
    with suppress(OSError):
        if is_candidate_size((index.root / index.files[index_in_dataset]).stat().st_size):
            return _identity(index, index_in_dataset)[1:]
    return None
