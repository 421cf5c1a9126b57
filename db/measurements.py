"""Immutable results: benchmarks and evaluations, each with what made it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, CreatedAt, Digest


class Environment(Base):
    """A machine with its software, by the digest of the facts that can change a measurement."""

    __tablename__ = "environment"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(200))
    facts: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class Benchmark(Base):
    """Speed of one artifact under one configuration. `p99` is absent under 100 samples."""

    __tablename__ = "benchmark"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"), index=True)
    artifact_digest: Mapped[str] = mapped_column(ForeignKey("artifact.digest"), index=True)
    environment_digest: Mapped[str] = mapped_column(ForeignKey("environment.digest"))
    runtime: Mapped[str] = mapped_column(String(40))
    provider: Mapped[str] = mapped_column(String(60))
    batch: Mapped[int]
    threads: Mapped[int]
    instances: Mapped[int]
    images_per_s: Mapped[float]
    images_per_s_low: Mapped[float]
    images_per_s_high: Mapped[float]
    latency_mean_ms: Mapped[float]
    latency_p50_ms: Mapped[float]
    latency_p90_ms: Mapped[float]
    latency_p95_ms: Mapped[float]
    latency_p99_ms: Mapped[float | None]
    samples: Mapped[int]
    load_ms: Mapped[float]
    first_inference_ms: Mapped[float]
    peak_rss_mb: Mapped[float]
    achieved_gmacs_per_s: Mapped[float | None]
    stable: Mapped[bool] = mapped_column(Boolean)
    other_busy_cores: Mapped[float]
    latencies_path: Mapped[str] = mapped_column(Text)
    protocol: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class Evaluation(Base):
    """Accuracy of one artifact on one dataset, with its per-image results in a file."""

    __tablename__ = "evaluation"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"), index=True)
    recipe: Mapped[Digest] = mapped_column(unique=True)
    artifact_digest: Mapped[str] = mapped_column(ForeignKey("artifact.digest"), index=True)
    environment_digest: Mapped[str] = mapped_column(ForeignKey("environment.digest"))
    dataset_name: Mapped[str] = mapped_column(String(100))
    dataset_digest: Mapped[Digest] = mapped_column(index=True)
    preprocess: Mapped[dict[str, Any]]
    images: Mapped[int]
    images_in_dataset: Mapped[int]
    top1_count: Mapped[int]
    top5_count: Mapped[int]
    at_chance: Mapped[bool] = mapped_column(Boolean)
    per_image_path: Mapped[str] = mapped_column(Text)
    protocol: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]
