"""The mean excitations of a network over images of a dataset, computed by a job and cached.

The cache file is named by the digests of the artifact and of the dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """Mean excitations over `images` images; `values`: one (channels,) vector per block.

    `classes`: by label, the number of images and the mean gate (blocks,) of that class.
    """

    images: int
    values: tuple[np.ndarray, ...]
    classes: Mapping[int, tuple[int, np.ndarray]] = field(default_factory=dict)


def load_mean(artifact: Artifact, dataset: Dataset, images: int) -> MeanExcitations | None:
    """The cached result of `compute_mean`, else None."""
    path = _path(artifact, dataset, images)
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        blocks = sorted(name for name in stored.files if name.startswith("block_"))
        classes = {}
        if "class_labels" in stored.files:  # earlier versions stored none
            columns = (stored[name] for name in ("class_labels", "class_images", "class_gates"))
            classes = {
                int(label): (int(count), gates)
                for label, count, gates in zip(*columns, strict=True)
            }
        values = tuple(stored[name] for name in blocks)
        return MeanExcitations(int(stored["images"]), values, classes)


def compute_mean(
    network: Excitations, dataset: Dataset, images: int, report: Progress | None = None
) -> MeanExcitations:
    """Computes the mean over `images` images, sampled by class, and writes it to the cache.

    Raises DatasetInvalid when images are missing or changed.
    """
    index = open_index(dataset)
    selected = sample_by_class(index.labels, min(images, len(index)), seed=0)
    sums = [np.zeros(block.channels) for block in network.blocks]
    by_class: dict[int, list[np.ndarray]] = {}
    labels = index.labels[selected]
    done = 0
    for batch in read_batches(index, selected, network.preprocess, BATCH, settings().threads):
        gates = network.batch_weights(batch)
        for total, values in zip(sums, gates, strict=True):
            total += values.sum(axis=0)
        block_means = np.stack([values.mean(axis=1) for values in gates], axis=1)
        for label, one in zip(labels[done : done + len(batch)], block_means, strict=True):
            by_class.setdefault(int(label), []).append(one)
        done += len(batch)
        if report is not None:
            report(done, len(selected))
    means = tuple(total / done for total in sums)
    path = _path(network.artifact, dataset, images)
    named = {f"block_{n:03d}": values for n, values in enumerate(means)}
    classes = {label: (len(ones), np.mean(ones, axis=0)) for label, ones in by_class.items()}
    save_arrays(
        path,
        images=np.array(done),
        class_labels=np.array(list(classes)),
        class_images=np.array([count for count, _ in classes.values()]),
        class_gates=np.array([gates for _, gates in classes.values()]),
        **named,
    )
    return MeanExcitations(done, means, classes)


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: the mean excitations of one fp32 build over one dataset, unless cached."""
    spec = ExcitationsSpec.model_validate(params)
    artifact = artifacts.find_by_digest(spec.artifact, context.url)
    dataset = find_dataset(spec.dataset, context.url)
    if dataset.digest != spec.dataset_digest:
        raise DatasetInvalid(
            f"Dataset {spec.dataset} was registered again after this job was queued: retry."
        )
    mean = load_mean(artifact, dataset, spec.images)
    if mean is None:
        network = Excitations(artifact)
        context.stage(f"Reading the gates of {len(network.blocks)} SE blocks.")
        mean = compute_mean(
            network,
            dataset,
            spec.images,
            lambda done, total: context.progress(done, total, "images"),
        )
    context.say(f"Mean over {mean.images:,} images, {len(mean.values)} blocks.")
    return {"images": mean.images, "blocks": len(mean.values)}


def _path(artifact: Artifact, dataset: Dataset, images: int) -> Path:
    name = f"{artifact.digest[:32]}-{dataset.digest[:16]}-{images}.npz"
    return settings().home / "cache" / "excitations" / name
