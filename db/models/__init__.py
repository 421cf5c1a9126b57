"""Every table by one import, so that the metadata is complete wherever it is used."""

from __future__ import annotations

from db.base import Base
from db.models.catalog import Artifact, Dataset, Model, Weights
from db.models.hosts import Host
from db.models.jobs import Home, Job, JobNeed, Run, RunJob
from db.models.measurements import (
    Annotation,
    Benchmark,
    Environment,
    Evaluation,
    ImportedBuild,
)

__all__ = [
    "Annotation",
    "Artifact",
    "Base",
    "Benchmark",
    "Dataset",
    "Environment",
    "Evaluation",
    "Home",
    "Host",
    "ImportedBuild",
    "Job",
    "JobNeed",
    "Model",
    "Run",
    "RunJob",
    "Weights",
]
