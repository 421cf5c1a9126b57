"""Specs of evaluations, and of the measurement of SE gates."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.common.untrusted import MAX_INTEGER
from engine.specs.base import Spec
from engine.specs.benchmarks import CPU_PROVIDER, MeasuredSpec
from engine.specs.builds import BuildSpec

SHARD_IMAGES = 1024


class EvaluateSpec(MeasuredSpec):
    """How accuracy is measured; the build is given by `build` or by its digest, `artifact`."""

    build: BuildSpec | None = None
    artifact: str | None = None
    dataset: str
    preprocess: dict[str, Any] | None = None
    limit: int | None = Field(None, ge=1, le=MAX_INTEGER)
    batch: int = Field(16, ge=1, le=1024)
    provider: str = CPU_PROVIDER
    start: int | None = None
    stop: int | None = None


class ExcitationsSpec(Spec):
    """Mean SE gate values of one fp32 artifact (given by its digest) over images of a dataset."""

    artifact: str
    dataset: str
    dataset_digest: str
    images: int = Field(256, ge=1, le=50_000)


class LayersSpec(Spec):
    """Errors of each layer of one int8 artifact (given by its digest) on images of a dataset."""

    artifact: str
    dataset: str
    dataset_digest: str
    images: int = Field(8, ge=1, le=1024)


class DrawsSpec(Spec):
    """Top-1 of one int8 artifact (given by its digest) with several draws of calibration images.

    `images`: number of evaluated images of the dataset; None: all.
    """

    artifact: str
    dataset: str
    dataset_digest: str
    draws: int = Field(5, ge=2, le=50)
    images: int | None = Field(None, ge=1, le=MAX_INTEGER)


def shard_ranges(images: int, batch: int) -> list[tuple[int, int]]:
    """(start, stop) of shards of about SHARD_IMAGES images; they start at multiples of `batch`."""
    size = -(-SHARD_IMAGES // batch) * batch
    return [(start, min(start + size, images)) for start in range(0, images, size)]
