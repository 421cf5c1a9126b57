"""Datasets, builds and their provenance; disk usage and state of the database."""

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
from engine.datasets.available import AvailableDatasets
from engine.peak.records import Peak, load_peaks
from engine.results.cleanup import StoredArtifact, disk_usage_bytes, stored_artifacts
from engine.results.facts import Provenance, load_provenance
from engine.store.artifacts import is_stored


def datasets() -> list[Dataset]:
    """The registered datasets, sorted by name."""
    with reading(url()) as session:
        return list(session.scalars(select(Dataset).order_by(Dataset.name)))


def available_datasets() -> AvailableDatasets:
    """The registered datasets and those in preparation."""
    return AvailableDatasets.read(url())


def builds() -> list[Artifact]:
    """The builds whose files are on this machine or in the store, the newest first."""
    statement = select(Artifact).where(Artifact.kind == ArtifactKind.BUILD)
    with reading(url()) as session:
        rows = session.scalars(statement.order_by(Artifact.created_at.desc())).all()
    return [row for row in rows if is_stored(row.digest)]


def provenance(
    artifact_digest: str, evaluation_id: int | None, benchmark_id: int | None
) -> Provenance:
    """The provenance of a result."""
    peak = _peak_for(benchmark_id)
    return load_provenance(url(), artifact_digest, evaluation_id, benchmark_id, peak)


def _peak_for(benchmark_id: int | None) -> float | None:
    """The machine's peak (GMAC/s) for a benchmark, as in the results table."""
    benchmarks = tables().benchmarks
    selected = benchmarks["benchmark_id"] == benchmark_id
    peaks = benchmarks.loc[selected, "peak_gmacs_per_s"].dropna()
    return float(peaks.iloc[0]) if len(peaks) else None


@st.cache_data(show_spinner=False, ttl=60, max_entries=4)
def disk_use(home: str) -> dict[str, int]:
    """Size (bytes) of each folder of the workbench's home, by name, the largest first."""
    folders = [path for path in Path(home).iterdir() if path.is_dir()] if home else []
    used = {folder.name: disk_usage_bytes(folder) for folder in folders}
    used["database"] = sum(path.stat().st_size for path in Path(home).glob("senet.db*"))
    return dict(sorted(used.items(), key=lambda item: -item[1]))


@st.cache_data(show_spinner=False, ttl=60, max_entries=2)
def artifacts(url: str, version: Version) -> list[StoredArtifact]:
    """The artifacts of the store, updated at most once a minute unless the database changes."""
    return stored_artifacts(url)


def peaks(environment_digest: str) -> list[Peak]:
    """The measured compute peaks of a machine."""
    return load_peaks(environment_digest, url())


def health() -> dict[str, object]:
    """State of the database: response time, schema revision, jobs, lost jobs."""
    started = time.perf_counter()
    with reading(url()) as session:
        revision = session.scalar(text("SELECT version_num FROM alembic_version"))
        jobs = session.scalar(select(func.count()).select_from(Job))
        lost = session.scalar(
            select(func.count())
            .select_from(Job)
            .where(Job.status == JobStatus.RUNNING, Job.lease_until < utc_epoch())
        )
    return {
        "database response time": f"{(time.perf_counter() - started) * 1e3:.1f} ms",
        "schema": revision,
        "jobs recorded": f"{jobs:,}",
        "lost jobs (no heartbeat)": lost,
    }
