"""One resolved and checked evaluation: artifact, images and preprocessing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from db.enums import WeightsKind
from db.models import Artifact
from engine.build.lookup import artifact_of
from engine.common import environment
from engine.common.digests import data_digest
from engine.common.environment import MachineFacts
from engine.config import settings
from engine.datasets.classes import ClassMatching, match_outputs
from engine.datasets.reader import DatasetIndex, open_index
from engine.datasets.registration import find_dataset
from engine.datasets.sampling import sample_by_class
from engine.errors import InvalidRequest
from engine.evaluation.pipeline import threads_each
from engine.preprocess import PreprocessSpec
from engine.runtimes import registry
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, EvaluateSpec, shard_ranges
from engine.store import artifacts
from engine.store.manifest import ExportManifest


@dataclass(frozen=True, slots=True)
class Task:
    """`images`: ascending dataset indices of the evaluated images.

    `kernels`: the kernel class of the machine; `surroundings`: all its facts. `matching` maps model
    outputs to dataset classes; None where the images have no labels.
    """

    spec: EvaluateSpec
    artifact: Artifact
    manifest: ExportManifest
    index: DatasetIndex
    images: np.ndarray
    preprocess: PreprocessSpec
    surroundings: MachineFacts
    kernels: dict[str, Any]
    matching: ClassMatching | None

    @property
    def recipe(self) -> str:
        """Digest of everything that determines the per-image results."""
        return data_digest({**self._parts(), "kernels": self.kernels})

    @property
    def plan(self) -> str:
        """Digest of what is evaluated, on whatever machine."""
        return data_digest({**self._parts(), "runtime": self.spec.runtime})

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "artifact": self.artifact.digest,
            "dataset": self.index.digest,
            "limit": self.spec.limit,
            "preprocess": self.preprocess.digest(),
            "batch": self.spec.batch,
            "provider": self.spec.provider,
        }
        if self.spec.runtime != DEFAULT_RUNTIME:
            parts["runtime"] = registry.with_version(self.spec.runtime)
        if self.matching is not None and self.matching.class_of_output is not None:
            parts["class_of_output"] = list(self.matching.class_of_output)
        return parts

    @property
    def classes(self) -> int:
        """Number of classes; 0 without labels."""
        return 0 if self.matching is None else self.matching.outputs

    @property
    def folder(self) -> Path:
        """The folder of the shards of this evaluation."""
        return settings().folder("cache") / "evaluations" / self.recipe

    @property
    def placement_path(self) -> Path:
        """The file with the layers by device and arithmetic, as the runtime reported them."""
        return self.folder / "placement.json"

    def shards(self) -> list[tuple[int, int]]:
        """(start, stop) ranges that cover all images; starts are multiples of the batch size."""
        return shard_ranges(len(self.images), self.spec.batch)

    def shard_path(self, start: int, stop: int) -> Path:
        """The file of one shard; it exists only when complete."""
        return self.folder / f"{start:08d}-{stop:08d}.npz"


def prepare(spec: EvaluateSpec, url: str) -> Task:
    """Resolves and checks a spec before any image is decoded.

    Raises LabelsMismatch where the classes of model and dataset differ, InvalidRequest for random
    weights or another input size.
    """
    artifact = artifact_of(spec, url)
    if artifact.weights_kind == WeightsKind.RANDOM:
        raise InvalidRequest(
            f"{artifact.model_id} has random weights: only its speed can be measured."
        )
    index = open_index(find_dataset(spec.dataset, url))
    matching = match_classes(artifact, index) if index.labeled else None
    images = np.arange(len(index))
    if spec.limit is not None and spec.limit < len(index):
        images = sample_by_class(index.labels, spec.limit, seed=0)
    preprocess = artifacts.preprocess_of(artifact).with_overrides(spec.preprocess)
    require_same_input_size(artifact, preprocess)
    manifest, machine = ExportManifest.from_artifact(artifact), environment.observe_machine()
    kernels = environment.kernel_class(
        machine.facts,
        runtime=registry.with_version(spec.runtime),
        threads=threads_each(settings().threads),
        gpu=spec.provider != CPU_PROVIDER,
    )
    return Task(spec, artifact, manifest, index, images, preprocess, machine, kernels, matching)


def require_same_input_size(artifact: Artifact, preprocess: PreprocessSpec) -> None:
    """Raises InvalidRequest unless the preprocessing gives the input size of the model."""
    side = artifacts.preprocess_of(artifact).crop
    if preprocess.crop != side:
        raise InvalidRequest(
            f"{artifact.model_id} was exported for {side} x {side} pixels and cannot be evaluated "
            f"at {preprocess.crop} x {preprocess.crop}: export it for that size (`run --protocol` "
            f"or `--crop`)."
        )


def match_classes(artifact: Artifact, index: DatasetIndex) -> ClassMatching:
    """Maps model outputs to the classes of a dataset; raises LabelsMismatch where impossible."""
    manifest = ExportManifest.from_artifact(artifact)
    return match_outputs(
        artifact.model_id,
        manifest.classes,
        manifest.background,
        index.name,
        index.all_classes,
    )
