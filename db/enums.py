"""The closed vocabularies that rows are written in."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """Number format of an artifact's weights and activations."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    INT8_BF16 = "int8-bf16"


class WeightsKind(StrEnum):
    """Where a model's weights come from; `random` is fit for speed, never for accuracy."""

    PRETRAINED = "pretrained"
    FILE = "file"
    RANDOM = "random"


class ArtifactKind(StrEnum):
    """An export is a model as its framework computes it; a build is that at one precision."""

    EXPORT = "export"
    BUILD = "build"


class JobKind(StrEnum):
    """One unit of background work."""

    PREPARE_DATASET = "prepare_dataset"
    EXPORT = "export"
    BUILD = "build"
    BENCHMARK = "benchmark"
    EVALUATE_SHARD = "evaluate_shard"
    EVALUATE = "evaluate"
    PEAK = "peak"
    PROFILE = "profile"
    EXCITATIONS = "excitations"
    LAYERS = "layers"
    DRAWS = "draws"


class JobStatus(StrEnum):
    """queued -> running -> succeeded | failed | cancelled; queued -> cancelled | skipped."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


LIVE = (JobStatus.QUEUED, JobStatus.RUNNING)
ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SKIPPED)
