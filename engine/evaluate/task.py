"""One evaluation, resolved and checked: what is run, on which images, prepared how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from db.enums import WeightsKind
from db.tables import Artifact
from engine import artifacts, environment
from engine.config import settings
from engine.datasets.drawing import draw_by_class
from engine.datasets.reader import DatasetIndex, open_index
from engine.datasets.register import find_dataset
from engine.digests import data_digest
from engine.environment import Surroundings
from engine.errors import InvalidRequest, LabelsMismatch
from engine.preprocess import PreprocessSpec
from engine.resolve import artifact_of
from engine.specs import EvaluateSpec, shard_ranges


@dataclass(frozen=True, slots=True)
class Task:
    """`images` are the indices, in the dataset, of the images that are evaluated, ascending."""

    spec: EvaluateSpec
    artifact: Artifact
    index: DatasetIndex
    images: np.ndarray
    preprocess: PreprocessSpec
    surroundings: Surroundings

    @property
    def recipe(self) -> str:
        """Digest of all that decides the per-image results."""
        return data_digest(
            {
                "artifact": self.artifact.digest,
                "dataset": self.index.digest,
                "limit": self.spec.limit,
                "preprocess": self.preprocess.digest(),
                "batch": self.spec.batch,
                "provider": self.spec.provider,
                "environment": self.surroundings.digest,
            }
        )

    @property
    def folder(self) -> Path:
        """Where the shards of this evaluation gather."""
        return settings().folder("cache") / "evaluations" / self.recipe

    def shards(self) -> list[tuple[int, int]]:
        """(start, stop) covering all images; starts are multiples of the batch."""
        return shard_ranges(len(self.images), self.spec.batch)

    def shard_path(self, start: int, stop: int) -> Path:
        """The file of one shard; it exists only whole."""
        return self.folder / f"{start:08d}-{stop:08d}.npz"


def prepare(spec: EvaluateSpec, url: str) -> Task:
    """Resolves and checks; a model of other classes raises LabelsMismatch before any decoding."""
    artifact = artifact_of(spec, url)
    if artifact.weights_kind == WeightsKind.RANDOM:
        raise InvalidRequest(
            f"{artifact.model_id} has random weights: fit to measure speed, never accuracy."
        )
    index = open_index(find_dataset(spec.dataset, url))
    if index.labelled:
        require_same_classes(artifact, index)
    images = np.arange(len(index))
    if spec.limit is not None and spec.limit < len(index):
        images = draw_by_class(index.labels, spec.limit, seed=0)
    preprocess = artifacts.preprocess_of(artifact).changed(spec.preprocess)
    require_same_side(artifact, preprocess)
    return Task(spec, artifact, index, images, preprocess, environment.observe())


def require_same_side(artifact: Artifact, preprocess: PreprocessSpec) -> None:
    """Raises InvalidRequest unless the images are prepared at the size that the model takes."""
    side = artifacts.preprocess_of(artifact).crop
    if preprocess.crop != side:
        raise InvalidRequest(
            f"{artifact.model_id} was exported for {side} x {side} pixels and cannot be evaluated "
            f"at {preprocess.crop} x {preprocess.crop}: export it with that preprocessing "
            f"(`run --protocol` or `--crop`)."
        )


def require_same_classes(artifact: Artifact, index: DatasetIndex) -> None:
    """Raises LabelsMismatch unless the model has one output for each class of the dataset."""
    outputs, background = artifact.manifest["classes"], artifact.manifest.get("background")
    classes = outputs - (background is not None)
    if classes == len(index.classes):
        return
    hint = "they do not mean the same classes."
    if classes == len(index.classes) + 1:
        hint = (
            "one output too many. If output 0 is a background class, as in networks from TF-Hub "
            "and TF-Slim, declare it: --background 0 (on the page: Background class)."
        )
    raise LabelsMismatch(
        f"{artifact.model_id} has {outputs} outputs, dataset {index.name!r} has "
        f"{len(index.classes)} classes: {hint}"
    )
