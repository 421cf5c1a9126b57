"""Datasets, builds and what made each of them; the disk and the database themselves."""

from __future__ import annotations

import time
from pathlib import Path

import streamlit as st
from sqlalchemy import func, select, text

from dashboard.queries.results import tables
from dashboard.queries.state import Version, url
from db.clock import utc_epoch
from db.enums import ArtifactKind, JobStatus
from db.models import Artifact, Dataset, Job
from db.session import reading
from engine.config import settings
from engine.peak.records import Peak, load_peaks
from engine.results.cleanup import Stored, bytes_under, stored
from engine.results.facts import Provenance, provenance_of


def datasets() -> list[Dataset]:
    """The registered datasets by name."""
    with reading(url()) as session:
        return list(session.scalars(select(Dataset).order_by(Dataset.name)))


def builds() -> list[Artifact]:
    """Every build whose files are on this machine, the newest first."""
    statement = select(Artifact).where(Artifact.kind == ArtifactKind.BUILD)
    with reading(url()) as session:
        rows = session.scalars(statement.order_by(Artifact.created_at.desc())).all()
    folder = settings().home / "artifacts"
    return [row for row in rows if (folder / row.digest).is_dir()]


def provenance(
    artifact_digest: str, evaluation_id: int | None, benchmark_id: int | None
) -> Provenance:
    """What made a result."""
    peak = _peak_for(benchmark_id)
    return provenance_of(url(), artifact_digest, evaluation_id, benchmark_id, peak)


def _peak_for(benchmark_id: int | None) -> float | None:
    """The peak (GMAC/s) that a benchmark is held against, as the results table has it."""
    known = tables().benchmarks
    found = known.loc[known["benchmark_id"] == benchmark_id, "peak_gmacs_per_s"].dropna()
    return float(found.iloc[0]) if len(found) else None


@st.cache_data(show_spinner=False, ttl=60, max_entries=4)
def disk_use(home: str) -> dict[str, int]:
    """Bytes in each folder of the workbench's data, by name, the largest first."""
    folders = [path for path in Path(home).iterdir() if path.is_dir()] if home else []
    used = {folder.name: bytes_under(folder) for folder in folders}
    used["database"] = sum(path.stat().st_size for path in Path(home).glob("senet.db*"))
    return dict(sorted(used.items(), key=lambda item: -item[1]))


@st.cache_data(show_spinner=False, ttl=60, max_entries=2)
def artifacts(url: str, version: Version) -> list[Stored]:
    """What the store holds, counted at most once a minute unless something changed."""
    return stored(url)


def peaks(environment_digest: str) -> list[Peak]:
    """What a machine can do at most, as far as it was measured."""
    return load_peaks(environment_digest, url())


def health() -> dict[str, object]:
    """Whether the database answers, how fast, and what state its schema is in."""
    begun = time.perf_counter()
    with reading(url()) as session:
        revision = session.scalar(text("SELECT version_num FROM alembic_version"))
        jobs = session.scalar(select(func.count()).select_from(Job))
        lost = session.scalar(
            select(func.count())
            .select_from(Job)
            .where(Job.status == JobStatus.RUNNING, Job.lease_until < utc_epoch())
        )
    return {
        "database answers in": f"{(time.perf_counter() - begun) * 1e3:.1f} ms",
        "schema": revision,
        "jobs recorded": f"{jobs:,}",
        "running jobs that fell silent": lost,
    }
