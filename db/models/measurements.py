"""Immutable results: benchmarks and evaluations, each with what made it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, CheckConstraint, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, CreatedAt, Digest


class Environment(Base):
    """A machine with its software, by the digest of the facts that can change a measurement.

    `peaks` is what it can do at most, by precision and threads, once that was measured.
    """

    __tablename__ = "environment"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(200))
    facts: Mapped[dict[str, Any]]
    peaks: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[CreatedAt]


class ImportedBuild(Base):
    """What was measured elsewhere: a model at a precision, as some other tool or machine had it.

    It takes the place of an artifact for results that were not made here; `source` says where
    they come from, `facts` all else that is known of them.
    """

    __tablename__ = "imported_build"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"), index=True)
    precision: Mapped[str] = mapped_column(String(10))
    source: Mapped[str] = mapped_column(String(200))
    facts: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


# A result belongs either to an artifact of ours or to an imported build.
ONE_SUBJECT = "(artifact_digest IS NULL) <> (imported_digest IS NULL)"


class Benchmark(Base):
    """Speed of one artifact, or imported build, under one configuration.

    `p99` is absent under 100 samples; of an imported one any figure but the throughput may be.
    """

    __tablename__ = "benchmark"
    __table_args__ = (CheckConstraint(ONE_SUBJECT, name="one_subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"), index=True)
    artifact_digest: Mapped[str | None] = mapped_column(ForeignKey("artifact.digest"), index=True)
    imported_digest: Mapped[str | None] = mapped_column(
        ForeignKey("imported_build.digest"), index=True
    )
    environment_digest: Mapped[str] = mapped_column(ForeignKey("environment.digest"))
    runtime: Mapped[str] = mapped_column(String(40))
    provider: Mapped[str] = mapped_column(String(60))
    batch: Mapped[int]
    threads: Mapped[int]
    instances: Mapped[int]
    images_per_s: Mapped[float]
    images_per_s_low: Mapped[float | None]
    images_per_s_high: Mapped[float | None]
    latency_mean_ms: Mapped[float | None]
    latency_p50_ms: Mapped[float | None]
    latency_p90_ms: Mapped[float | None]
    latency_p95_ms: Mapped[float | None]
    latency_p99_ms: Mapped[float | None]
    samples: Mapped[int | None]
    load_ms: Mapped[float | None]
    first_inference_ms: Mapped[float | None]
    peak_rss_mb: Mapped[float | None]
    achieved_gmacs_per_s: Mapped[float | None]
    stable: Mapped[bool | None] = mapped_column(Boolean)
    other_busy_cores: Mapped[float | None]
    latencies_path: Mapped[str | None] = mapped_column(Text)
    protocol: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class Evaluation(Base):
    """Accuracy of one artifact, or imported build, on one dataset, image by image in a file.

    Counts are absent where the images have no labels; the environment and the preprocessing where
    an import does not state them. `images` are done of `images_planned` (absent: all of them), and
    `images_digest` says which. `label_set` is "dataset", "none" or the name of another set.
    """

    __tablename__ = "evaluation"
    __table_args__ = (CheckConstraint(ONE_SUBJECT, name="one_subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"), index=True)
    recipe: Mapped[Digest] = mapped_column(unique=True)
    artifact_digest: Mapped[str | None] = mapped_column(ForeignKey("artifact.digest"), index=True)
    imported_digest: Mapped[str | None] = mapped_column(
        ForeignKey("imported_build.digest"), index=True
    )
    environment_digest: Mapped[str | None] = mapped_column(ForeignKey("environment.digest"))
    dataset_name: Mapped[str] = mapped_column(String(100))
    dataset_digest: Mapped[Digest] = mapped_column(index=True)
    label_set: Mapped[str] = mapped_column(String(100), default="dataset", server_default="dataset")
    preprocess: Mapped[dict[str, Any] | None]
    images: Mapped[int]
    images_planned: Mapped[int | None]
    images_in_dataset: Mapped[int]
    images_digest: Mapped[str | None] = mapped_column(String(64))
    top1_count: Mapped[int | None]
    top5_count: Mapped[int | None]
    at_chance: Mapped[bool] = mapped_column(Boolean)
    per_image_path: Mapped[str | None] = mapped_column(Text)
    protocol: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class Annotation(Base):
    """What a user says about a build, by the digest of its artifact or imported build.

    A `hidden` build is left out of tables, charts and recommendations; nothing is deleted.
    """

    __tablename__ = "annotation"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    tag: Mapped[str | None] = mapped_column(String(60), index=True)
    note: Mapped[str | None] = mapped_column(Text)
    hidden: Mapped[bool] = mapped_column(Boolean, default=False, server_default="0")
    changed_at: Mapped[CreatedAt]
