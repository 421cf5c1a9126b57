"""The runs of a database in a list: state, progress, and the best result of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, join, select

from db.enums import JobKind, JobStatus
from db.models import Artifact, Benchmark, Evaluation, Job, Run, RunJob
from db.session import reading
from engine.jobs.results import JobResult

_MEASURING = (JobKind.EVALUATE, JobKind.BENCHMARK)
_STATES = (
    JobStatus.RUNNING,
    JobStatus.QUEUED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
    JobStatus.SKIPPED,
)
"""A run has the first of these states that one of its jobs has; else it succeeded."""


@dataclass(frozen=True, slots=True)
class RunOverview:
    """A run with the state of its jobs.

    `done` of `jobs` have succeeded. `top1` (percent) is the highest top-1 of its evaluations,
    `latency_ms` the lowest median latency of its benchmarks; `most_accurate` and `fastest` name
    their builds.
    """

    id: int
    title: str
    models: tuple[str, ...]
    tags: tuple[str, ...]
    notes: str
    created_at: float
    state: str
    done: int
    jobs: int
    top1: float | None = None
    most_accurate: str = ""
    latency_ms: float | None = None
    fastest: str = ""

    def matches(self, search: str) -> bool:
        """Whether every word of a search is in its number, title, models, tags, notes or state."""
        parts = (str(self.id), self.title, *self.models, *self.tags, self.notes, self.state)
        text = "\n".join(parts).lower()
        return all(word in text for word in search.lower().split())

    @property
    def best_result(self) -> str:
        """`80.3 % timm/seresnet50 fp32 · 2.1 ms timm/seresnet50 int8`; empty without results."""
        parts = []
        if self.top1 is not None:
            parts.append(f"{self.top1:.1f} % {self.most_accurate}")
        if self.latency_ms is not None:
            parts.append(f"{self.latency_ms:.3g} ms {self.fastest}")
        return " · ".join(parts)


@dataclass(slots=True)
class _Found:
    """What the jobs of a run have made so far."""

    states: Counter[str] = field(default_factory=Counter)
    evaluations: set[int] = field(default_factory=set)
    benchmarks: set[int] = field(default_factory=set)


def list_runs(url: str, search: str = "", limit: int = 200) -> list[RunOverview]:
    """The newest `limit` runs, the newest first; those that match every word of `search`."""
    with reading(url) as session:
        runs = list(session.scalars(select(Run).order_by(Run.id.desc()).limit(limit)))
        ids = [run.id for run in runs]
        owned = join(RunJob, Job, Job.id == RunJob.job_id)
        counts = session.execute(
            select(RunJob.run_id, Job.status, func.count())
            .select_from(owned)
            .where(RunJob.run_id.in_(ids))
            .group_by(RunJob.run_id, Job.status)
        ).all()
        results = session.execute(
            select(RunJob.run_id, Job.result)
            .select_from(owned)
            .where(RunJob.run_id.in_(ids), Job.kind.in_(_MEASURING), Job.result.is_not(None))
        ).all()
    found: dict[int, _Found] = defaultdict(_Found)
    for run_id, status, count in counts:
        found[run_id].states[status] = count
    for run_id, stored in results:
        own, result = found[run_id], JobResult.from_stored(stored)
        own.benchmarks.update(result.benchmark_ids)
        if result.evaluation is not None:
            own.evaluations.add(result.evaluation)
    top1 = _top1(set().union(*(own.evaluations for own in found.values())), url)
    latency = _latency(set().union(*(own.benchmarks for own in found.values())), url)
    rows = (_overview(run, found[run.id], top1, latency) for run in runs)
    return [row for row in rows if row.matches(search)]


Figures = dict[int, tuple[float, str]]
"""A figure and the name of its build, by the id of the measurement."""


def _overview(run: Run, found: _Found, top1: Figures, latency: Figures) -> RunOverview:
    request: dict[str, Any] = run.request
    others = [model.get("model_id", "") for model in request.get("other_models") or ()]
    accurate = max((top1[i] for i in found.evaluations if i in top1), default=(None, ""))
    fast = min((latency[i] for i in found.benchmarks if i in latency), default=(None, ""))
    return RunOverview(
        id=run.id,
        title=run.title,
        models=(str(request.get("model_id", "")), *others),
        tags=tuple(request.get("tags") or ()),
        notes=request.get("notes") or "",
        created_at=run.created_at,
        state=next((s for s in _STATES if found.states[s]), JobStatus.SUCCEEDED).value,
        done=found.states[JobStatus.SUCCEEDED],
        jobs=found.states.total(),
        top1=accurate[0],
        most_accurate=accurate[1],
        latency_ms=fast[0],
        fastest=fast[1],
    )


def _top1(ids: Iterable[int], url: str) -> Figures:
    statement = (
        select(
            Evaluation.id,
            Evaluation.top1_count,
            Evaluation.images,
            Artifact.model_id,
            Artifact.precision,
        )
        .join(Artifact, Artifact.digest == Evaluation.artifact_digest)
        .where(Evaluation.id.in_(list(ids)), Evaluation.top1_count.is_not(None))
    )
    with reading(url) as session:
        rows: Sequence[Any] = session.execute(statement).all()
    return {
        r.id: (100 * r.top1_count / r.images, f"{r.model_id} {r.precision}")
        for r in rows
        if r.images
    }


def _latency(ids: Iterable[int], url: str) -> Figures:
    statement = (
        select(Benchmark.id, Benchmark.latency_p50_ms, Artifact.model_id, Artifact.precision)
        .join(Artifact, Artifact.digest == Benchmark.artifact_digest)
        .where(Benchmark.id.in_(list(ids)), Benchmark.latency_p50_ms.is_not(None))
    )
    with reading(url) as session:
        rows: Sequence[Any] = session.execute(statement).all()
    return {r.id: (r.latency_p50_ms, f"{r.model_id} {r.precision}") for r in rows}
