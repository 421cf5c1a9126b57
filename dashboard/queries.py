"""Everything the pages read: from the database, cached until a job changes something."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from sqlalchemy import func, select, text
from sqlalchemy.orm import aliased

from dashboard.comparables import Group
from db.clock import utc_epoch
from db.enums import LIVE, ArtifactKind, JobStatus
from db.session import reading
from db.tables import (
    Artifact,
    Benchmark,
    Dataset,
    Environment,
    Evaluation,
    ImportedBuild,
    Job,
    JobNeed,
    Model,
    Run,
    RunJob,
    Weights,
)
from engine import flips
from engine.comparisons import paired, precision_pairs
from engine.config import settings
from engine.datasets.reader import DatasetIndex
from engine.environment import library_versions
from engine.errors import WorkbenchError
from engine.housekeeping import Stored, bytes_under, stored
from engine.results import ResultTables, join_results, published_frame, result_tables
from engine.stats import PairedDifference

RUNTIME = "onnxruntime"
Version = tuple[Any, ...]
Values = tuple[tuple[str, object], ...]


def url() -> str:
    """The database that this process shows."""
    return settings().url


def version() -> Version:
    """Changes whenever a result could: one statement of counts and the time a job last ended."""
    counted = [
        select(func.count()).select_from(table).scalar_subquery()
        for table in (Artifact, Benchmark, Evaluation, Dataset, Model, Job)
    ]
    newest = [
        select(func.max(column)).scalar_subquery()
        for column in (Job.ended_at, Evaluation.id, Benchmark.id)
    ]
    with reading(url()) as session:
        return tuple(session.execute(select(*counted, *newest)).one())


def tables() -> ResultTables:
    """Builds, evaluations and benchmarks, not joined. Shared by all sessions: never write to it."""
    return _tables(url(), version())


# A resource is handed out as it is; cached data would be copied, whole, on each of a page's runs.
@st.cache_resource(show_spinner=False, max_entries=2)
def _tables(url: str, version: Version) -> ResultTables:
    return result_tables(url)


def results(accuracy: Group | None = None, speed: Group | None = None) -> pd.DataFrame:
    """The results table of the engine, of some images and of some setting where they are given."""
    return _results(url(), version(), _values(accuracy), _values(speed))


def _values(group: Group | None) -> Values:
    return tuple(group.values.items()) if group else ()


@st.cache_resource(show_spinner=False, max_entries=6)
def _results(url: str, version: Version, accuracy: Values, speed: Values) -> pd.DataFrame:
    found = _tables(url, version)
    return join_results(
        ResultTables(
            found.builds,
            Group("", dict(accuracy)).of(found.evaluations),
            Group("", dict(speed)).of(found.benchmarks),
        )
    )


def results_of(evaluations: set[int], benchmarks: set[int]) -> pd.DataFrame:
    """The rows of some evaluations and benchmarks, as one run made them."""
    found = tables()
    evaluated = found.evaluations[found.evaluations["evaluation_id"].isin(evaluations)]
    benchmarked = found.benchmarks[found.benchmarks["benchmark_id"].isin(benchmarks)]
    digests = {*evaluated["artifact_digest"], *benchmarked["artifact_digest"]}
    builds = found.builds[found.builds["artifact_digest"].isin(digests)]
    return join_results(ResultTables(builds, evaluated, benchmarked))


def outdated() -> dict[str, str]:
    """Of each machine's digest whose ONNX Runtime is not the installed one: both versions."""
    return _outdated(url(), version())


@st.cache_data(show_spinner=False, max_entries=2)
def _outdated(url: str, version: Version) -> dict[str, str]:
    now = library_versions().get(RUNTIME)
    with reading(url) as session:
        rows = session.execute(select(Environment.digest, Environment.facts)).all()
    then = {digest: (facts.get("packages") or {}).get(RUNTIME) for digest, facts in rows}
    return {
        digest: f"with {RUNTIME} {found}, now {now}"
        for digest, found in then.items()
        if found and now and found != now
    }


def published() -> pd.DataFrame:
    """The catalogue's published figures."""
    return _published(url(), version())


@st.cache_data(show_spinner=False, max_entries=4)
def _published(url: str, version: Version) -> pd.DataFrame:
    return published_frame(url)


def pairs(frame: pd.DataFrame, first: str, second: str) -> tuple[pd.DataFrame, str | None]:
    """`second` against `first`, and what stood in the way (per-image results that are gone)."""
    return _pairs(frame, url(), version(), first, second)


@st.cache_data(show_spinner=False, max_entries=16)
def _pairs(
    frame: pd.DataFrame, url: str, version: Version, first: str, second: str
) -> tuple[pd.DataFrame, str | None]:
    try:
        return precision_pairs(frame, url, first, second), None
    except WorkbenchError as error:
        speed_only = frame.assign(evaluation_id=None)
        return precision_pairs(speed_only, url, first, second), str(error)


@dataclass(frozen=True, slots=True)
class JobView:
    """A job's row with the titles of what it waits for and the runs that own it."""

    row: Job
    waits_for: tuple[str, ...]
    runs: tuple[int, ...]
    needs: tuple[int, ...] = ()


def live_jobs() -> list[JobView]:
    """Queued and running jobs, in the order of the queue."""
    statement = select(Job).where(Job.status.in_(LIVE)).order_by(Job.priority.desc(), Job.id)
    return _views(statement)


def ended_jobs(statuses: tuple[str, ...], limit: int = 200) -> list[JobView]:
    """Ended jobs, the last to end first."""
    statement = select(Job).where(Job.status.in_(statuses)).order_by(Job.ended_at.desc(), Job.id)
    return _views(statement.limit(limit))


def run_jobs(run_id: int) -> list[JobView]:
    """The jobs of one run, in the order in which they were queued."""
    owned = select(RunJob.job_id).where(RunJob.run_id == run_id)
    return _views(select(Job).where(Job.id.in_(owned)).order_by(Job.id))


def open_failures(limit: int = 5) -> list[JobView]:
    """Failed jobs that nothing equal has been queued after, the newest first."""
    later = aliased(Job)
    superseded = select(later.id).where(later.key == Job.key, later.id > Job.id)
    statement = select(Job).where(Job.status == JobStatus.FAILED, ~superseded.exists())
    return _views(statement.order_by(Job.ended_at.desc()).limit(limit))


def _views(statement: Any) -> list[JobView]:
    with reading(url()) as session:
        jobs = list(session.scalars(statement))
        ids = [job.id for job in jobs]
        needed = aliased(Job)
        waits = session.execute(
            select(JobNeed.job_id, needed.title, needed.id)
            .join(needed, needed.id == JobNeed.needs_id)
            .where(JobNeed.job_id.in_(ids), needed.status.in_(LIVE))
            .order_by(needed.id)
        ).all()
        runs = session.execute(
            select(RunJob.job_id, RunJob.run_id)
            .where(RunJob.job_id.in_(ids))
            .order_by(RunJob.run_id)
        ).all()
    titles, needs, owners = defaultdict(list), defaultdict(list), defaultdict(list)
    for job_id, title, need in waits:
        titles[job_id].append(title)
        needs[job_id].append(need)
    for job_id, run_id in runs:
        owners[job_id].append(run_id)
    return [
        JobView(job, tuple(titles[job.id]), tuple(owners[job.id]), tuple(needs[job.id]))
        for job in jobs
    ]


def run_stages(run_ids: list[int]) -> dict[int, tuple[str, list[tuple[str, str]]]]:
    """Of each run its title and the (kind, status) of all its jobs, in their order."""
    statement = (
        select(Run.id, Run.title, Job.kind, Job.status)
        .join(RunJob, RunJob.run_id == Run.id)
        .join(Job, Job.id == RunJob.job_id)
        .where(Run.id.in_(run_ids))
        .order_by(Run.id, Job.id)
    )
    found: dict[int, tuple[str, list[tuple[str, str]]]] = {}
    with reading(url()) as session:
        for run_id, title, kind, status in session.execute(statement):
            found.setdefault(run_id, (title, []))[1].append((kind, status))
    return found


def has_live_jobs() -> bool:
    """Whether anything is queued or running."""
    with reading(url()) as session:
        return session.scalar(select(Job.id).where(Job.status.in_(LIVE)).limit(1)) is not None


def find_run(run_id: int) -> Run | None:
    """The row of a run."""
    with reading(url()) as session:
        return session.get(Run, run_id)


def recent_runs(limit: int = 10) -> list[Run]:
    """The newest runs."""
    with reading(url()) as session:
        return list(session.scalars(select(Run).order_by(Run.id.desc()).limit(limit)))


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


def latencies(benchmark_id: int) -> np.ndarray | None:
    """Latency of every request (ms) of the reported windows, in order; None where none is kept."""
    return _latencies(url(), version(), benchmark_id)


@st.cache_data(show_spinner=False, max_entries=32)
def _latencies(url: str, version: Version, benchmark_id: int) -> np.ndarray | None:
    with reading(url) as session:
        row = session.get(Benchmark, benchmark_id)
    if row is None or not row.latencies_path:
        return None
    try:
        with np.load(settings().home / row.latencies_path, allow_pickle=False) as kept:
            windows, values = kept["window"], kept["latency_ms"]
    except (OSError, KeyError):
        return None
    reported = int(row.protocol.get("reported_windows") or 1)
    return np.asarray(values[windows > windows.max() - reported], np.float64)


@st.cache_data(show_spinner=False, max_entries=8)
def flips_of(url: str, first_id: int, second_id: int) -> flips.Flips:
    """Where two evaluations differ. Raises as engine.flips.flips."""
    return flips.flips(first_id, second_id, url)


@st.cache_data(show_spinner=False, max_entries=2)
def dataset_index(url: str, version: Version, digest: str) -> DatasetIndex | None:
    """Files and classes of a dataset; None where it is not on this machine any more."""
    try:
        return flips.dataset_index(digest, url)
    except WorkbenchError:
        return None


def difference(first_id: int, second_id: int) -> PairedDifference | None:
    """Second minus first on the same images; None where they cannot be paired."""
    return _difference(url(), first_id, second_id)


@st.cache_data(show_spinner=False, max_entries=256)
def _difference(url: str, first_id: int, second_id: int) -> PairedDifference | None:
    try:
        return paired(first_id, second_id, url)
    except WorkbenchError:
        return None


@dataclass(frozen=True, slots=True)
class Provenance:
    """All the rows behind one line of results; each is None where there is none."""

    artifact: Artifact | None
    imported: ImportedBuild | None
    weights: Weights | None
    evaluation: Evaluation | None
    benchmark: Benchmark | None
    environment: Environment | None


def provenance(
    artifact_digest: str, evaluation_id: int | None, benchmark_id: int | None
) -> Provenance:
    """What made a result."""
    with reading(url()) as session:
        artifact = session.get(Artifact, artifact_digest)
        imported = session.get(ImportedBuild, artifact_digest)
        weights = session.get(Weights, artifact.weights_digest) if artifact else None
        evaluation = session.get(Evaluation, evaluation_id) if evaluation_id else None
        benchmark = session.get(Benchmark, benchmark_id) if benchmark_id else None
        measured = benchmark or evaluation
        machine = measured.environment_digest if measured else None
        environment = session.get(Environment, machine) if machine else None
        return Provenance(artifact, imported, weights, evaluation, benchmark, environment)


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
