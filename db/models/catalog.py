"""Models, their weights, the artifacts made of them, and the datasets they are judged on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, CreatedAt, Digest


class Model(Base):
    """A catalog row, or a model a user brought. Published figures are percent, G and M."""

    __tablename__ = "model"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    source: Mapped[str] = mapped_column(String(20), index=True)
    name: Mapped[str] = mapped_column(String(180))
    architecture: Mapped[str] = mapped_column(String(180))
    in_catalogue: Mapped[bool] = mapped_column(Boolean, default=False)
    weights_ref: Mapped[str | None] = mapped_column(Text)
    published_top1: Mapped[float | None]
    published_top5: Mapped[float | None]
    published_flops_g: Mapped[float | None]
    published_params_m: Mapped[float | None]
    preprocess: Mapped[dict[str, Any] | None]
    compute_gmacs: Mapped[float | None]
    params_m: Mapped[float | None]
    created_at: Mapped[CreatedAt]


class Weights(Base):
    """One set of weights by the SHA-256 of its bytes (or of its tensors, for random ones)."""

    __tablename__ = "weights"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    origin: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int]
    created_at: Mapped[CreatedAt]


class Artifact(Base):
    """An immutable file set under its content digest: an export, or a build at one precision."""

    __tablename__ = "artifact"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    recipe: Mapped[Digest] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(String(20))
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"), index=True)
    weights_digest: Mapped[str] = mapped_column(ForeignKey("weights.digest"))
    weights_kind: Mapped[str] = mapped_column(String(20))
    parent_digest: Mapped[str | None] = mapped_column(ForeignKey("artifact.digest"))
    format: Mapped[str] = mapped_column(String(20))
    precision: Mapped[str] = mapped_column(String(10))
    size_bytes: Mapped[int]
    manifest: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class Dataset(Base):
    """A registered folder of images with labels; its digest covers every file and label."""

    __tablename__ = "dataset"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    root: Mapped[str] = mapped_column(Text)
    layout: Mapped[str] = mapped_column(String(40))
    digest: Mapped[Digest]
    num_images: Mapped[int]
    num_classes: Mapped[int]
    report: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]
