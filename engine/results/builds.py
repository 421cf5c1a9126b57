"""Builds as a table: those made on this machine and those that were imported."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import Select, select

from db.enums import ArtifactKind
from db.models import Annotation, Artifact, ImportedBuild, Model
from engine.results.reading import read_frame
from engine.store.int8_report import Int8Build
from engine.store.manifest import BuildManifest, CalibrationFacts

MEASURED_HERE = "measured here"
_ANNOTATED = (Annotation.tag, Annotation.note, Annotation.hidden)


def all_builds(url: str) -> pd.DataFrame:
    """One row per build: GMACs (1e9), parameters (1e6), size in MB (1e6 bytes), annotations."""
    tables = [_with_manifest_facts(read_frame(url, _builds())), read_frame(url, _imported())]
    columns = list(dict.fromkeys(name for table in tables for name in table.columns))
    filled = [table for table in tables if len(table)]
    joined = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
    return joined.reindex(columns=columns)


def _builds() -> Select:
    statement = select(
        Artifact.digest.label("artifact_digest"),
        Artifact.model_id,
        Artifact.precision,
        Artifact.weights_kind,
        Artifact.weights_digest,
        (Artifact.size_bytes / 1e6).label("size_mb"),
        Artifact.created_at.label("built_at"),
        Artifact.manifest,
        *_ANNOTATED,
    ).outerjoin(Annotation, Annotation.digest == Artifact.digest)
    return statement.where(Artifact.kind == ArtifactKind.BUILD)


def _imported() -> Select:
    statement = select(
        ImportedBuild.digest.label("artifact_digest"),
        ImportedBuild.model_id,
        ImportedBuild.precision,
        ("imported: " + ImportedBuild.source).label("origin"),
        ImportedBuild.created_at.label("built_at"),
        Model.compute_gmacs,
        Model.params_m,
        *_ANNOTATED,
    ).join(Model, Model.id == ImportedBuild.model_id)
    return statement.outerjoin(Annotation, Annotation.digest == ImportedBuild.digest)


def _with_manifest_facts(builds: pd.DataFrame) -> pd.DataFrame:
    """Replaces `manifest` by columns: GMACs, parameters, execution, int8 target, calibration."""
    builds["origin"] = MEASURED_HERE
    stored = zip(builds.pop("manifest"), builds["artifact_digest"], strict=True)
    manifests = [BuildManifest.from_stored(*pair) for pair in stored]
    builds["compute_gmacs"] = pd.Series(
        [m.compute.gmacs for m in manifests], index=builds.index, dtype=float
    )
    builds["params_m"] = [m.compute.params_m for m in manifests]
    builds["execution"] = [m.build.execution_kind for m in manifests]
    builds["target"] = [_target(m.build.quantization) for m in manifests]
    builds["calibration"] = [_calibration(m.build.calibration) for m in manifests]
    return builds


def _target(build: Int8Build | None) -> str | None:
    """The int8 target of a build; None for other precisions and for builds of earlier versions."""
    return build.target.summary if build is not None and build.target is not None else None


def _calibration(facts: CalibrationFacts | None) -> str | None:
    return f"{facts.mode}, {facts.images} images of {facts.dataset}" if facts else None
