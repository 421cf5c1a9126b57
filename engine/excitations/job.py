"""The usual excitations of a network: their mean over images of a dataset, made by a job, kept.

What is kept is named by the artifact's and the dataset's digest: change one, and it is made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from db.models import Artifact, Dataset
from engine.common.files import save_arrays
from engine.config import settings
from engine.datasets.reader import open_index, read_batches
from engine.datasets.registration import find_dataset
from engine.datasets.sampling import sample_by_class
from engine.errors import DatasetInvalid
from engine.excitations.per_image import Excitations
from engine.jobs.context import JobContext
from engine.specs import ExcitationsSpec
from engine.store import artifacts

BATCH = 8
Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class MeanExcitations:
    """The mean of each block over `images` images of a dataset, a vector a block."""

    images: int
    values: tuple[np.ndarray, ...]


def known_mean(artifact: Artifact, dataset: Dataset, images: int) -> MeanExcitations | None:
    """What `keep_mean` kept for these, if it did."""
    path = _path(artifact, dataset, images)
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as kept:
        blocks = sorted(name for name in kept.files if name.startswith("block_"))
        return MeanExcitations(int(kept["images"]), tuple(kept[name] for name in blocks))


def keep_mean(
    network: Excitations, dataset: Dataset, images: int, seen: Progress | None = None
) -> MeanExcitations:
    """The mean over `images` images drawn by class, kept in a file, whole or not at all.

    Raises DatasetInvalid when the images are gone or changed.
    """
    index = open_index(dataset)
    which = sample_by_class(index.labels, min(images, len(index)), seed=0)
    sums = [np.zeros(block.channels) for block in network.blocks]
    done = 0
    for batch in read_batches(index, which, network.preprocess, BATCH, settings().threads):
        for total, values in zip(sums, network.of_batch(batch), strict=True):
            total += values.sum(axis=0)
        done += len(batch)
        if seen is not None:
            seen(done, len(which))
    means = tuple(total / done for total in sums)
    path = _path(network.artifact, dataset, images)
    named = {f"block_{n:03d}": values for n, values in enumerate(means)}
    save_arrays(path, images=np.array(done), **named)
    return MeanExcitations(done, means)


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: the mean of one fp32 build over one dataset, unless it is known already."""
    spec = ExcitationsSpec.model_validate(params)
    artifact = artifacts.find_by_digest(spec.artifact, context.url)
    dataset = find_dataset(spec.dataset, context.url)
    if dataset.digest != spec.dataset_digest:
        raise DatasetInvalid(
            f"The dataset {spec.dataset} was registered anew since this was queued: ask again."
        )
    found = known_mean(artifact, dataset, spec.images)
    if found is None:
        network = Excitations(artifact)
        context.stage(f"Reading the gates of {len(network.blocks)} SE blocks.")
        found = keep_mean(
            network,
            dataset,
            spec.images,
            lambda done, total: context.progress(done, total, "images"),
        )
    context.say(f"Mean over {found.images:,} images, {len(found.values)} blocks.")
    return {"images": found.images, "blocks": len(found.values)}


def _path(artifact: Artifact, dataset: Dataset, images: int) -> Path:
    name = f"{artifact.digest[:32]}-{dataset.digest[:16]}-{images}.npz"
    return settings().home / "cache" / "excitations" / name
