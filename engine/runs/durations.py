"""How long a run takes, by stage, from what earlier jobs of such size took on this machine."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import median
from typing import Any

from sqlalchemy import select

from db.enums import LIVE, JobKind, JobStatus, Precision
from db.models import Dataset, Job
from db.session import reading
from engine.config import settings
from engine.jobs.results import JobResult
from engine.runs.estimates import Estimate, estimate
from engine.runs.request import OtherModel, RunRequest
from engine.runs.sizes import ModelSize, sizes_of
from engine.runs.work import Work
from engine.specs.precisions import file_precision
from engine.text import duration, plural

HISTORY_JOBS = 400
NEAREST_JOBS = 5
FAR = 10.0
"""Jobs whose work differs by more than this factor give a guess only, and never a lower one."""
REUSED_S = 1.0
"""A job that finds its result already made."""
EXCLUSIVE = (JobKind.BENCHMARK, JobKind.PROFILE)
_STAGES = {
    JobKind.PREPARE_DATASET: "prepare datasets",
    JobKind.EXPORT: "export",
    JobKind.BUILD: "build",
    JobKind.EVALUATE_SHARD: "evaluate",
    JobKind.EVALUATE: "evaluate",
    JobKind.BENCHMARK: "benchmark",
    JobKind.PROFILE: "profile",
}
Group = tuple[str, str, str]
"""Kind of the job, precision of its model file, runtime: jobs that take as long for equal work."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Seconds of a job without earlier ones: `start_s` plus `per_unit_s` for each unit of work."""

    start_s: float
    per_unit_s: float


_ROUGH: dict[str, Rate] = {
    JobKind.PREPARE_DATASET: Rate(5.0, 0.003),
    JobKind.EXPORT: Rate(8.0, 0.15),
    JobKind.BUILD: Rate(4.0, 0.1),
    Precision.INT8: Rate(10.0, 0.06),
    JobKind.EVALUATE: Rate(4.0, 0.015),
    JobKind.EVALUATE_SHARD: Rate(4.0, 0.015),
    JobKind.PROFILE: Rate(10.0, 0.0),
    JobKind.BENCHMARK: Rate(30.0, 0.0),
}
"""Of two cores; units as in `_work`. Used only where nothing was done here yet, and said so."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The jobs of one stage: their count, how many reuse a result, and the seconds it takes.

    Jobs that run side by side take their part of the time.

    `rough`: no earlier job of the kind, so that the time is a guess by the size of the models.
    """

    name: str
    jobs: int
    reused: int
    seconds: float
    rough: bool

    def phrase(self) -> str:
        """`build 9 min (75 jobs, 3 reused)`."""
        reused = f", {self.reused} reused" if self.reused else ""
        return f"{self.name} {duration(self.seconds)} ({plural(self.jobs, 'job')}{reused})"


@dataclass(frozen=True, slots=True)
class RunDuration:
    """The stages of a run in order, its benchmarks with their limits, and the seconds to its end.

    `waiting_s` is for the jobs that are queued or running already. Jobs run `slots` at a time,
    except those that need the machine alone.
    """

    stages: tuple[Stage, ...]
    waiting_s: float
    total_s: float
    benchmarks: Estimate | None = None

    def sentence(self, now: float | None = None) -> str:
        """`About 12 min, done about 14:20: export 2 min (25 jobs), ...`; local time."""
        end = time.localtime((time.time() if now is None else now) + self.total_s)
        pattern = "%H:%M" if self.total_s < 20 * 3600 else "%a %H:%M"
        rough = [stage.name for stage in self.stages if stage.rough]
        about = "Roughly" if rough else "About"
        queue = f" (with {duration(self.waiting_s)} for the queue)" if self.waiting_s >= 1 else ""
        stages = ", ".join(stage.phrase() for stage in self.stages)
        basis = (
            f" A guess for want of earlier jobs of such size here: {', '.join(rough)}."
            if rough
            else ""
        )
        return (
            f"{about} {duration(self.total_s)}{queue}, done about {time.strftime(pattern, end)}: "
            f"{stages}.{basis}"
        )


def estimate_run(request: RunRequest, work: Work, url: str) -> RunDuration:
    """The duration of a request without problems, whose jobs are `work`."""
    live = _live(url)
    known = _Known.read([*request.models], live, url)
    seconds: dict[str, float] = defaultdict(float)
    counts, reused = defaultdict[str, int](int), defaultdict[str, int](int)
    rough: set[str] = set()
    total = 0.0
    benchmarks = estimate(request, url)
    slots = min(settings().slots, max(1, sum(job.kind not in EXCLUSIVE for job in work.new)))
    for job in (*work.new, *work.reused):
        kind, stage = JobKind(job.kind), _STAGES.get(JobKind(job.kind), str(job.kind))
        counts[stage] += 1
        if job in work.reused:
            reused[stage] += 1
            took = REUSED_S
        elif kind == JobKind.BENCHMARK and benchmarks is not None:
            continue
        else:
            took, guessed = known.predict(kind, job.params)
            if guessed:
                rough.add(stage)
        took = took if kind in EXCLUSIVE else took / slots
        seconds[stage] += took
        total += took
    if benchmarks is not None:
        stage = _STAGES[JobKind.BENCHMARK]
        seconds[stage] += benchmarks.expected_s
        total += benchmarks.expected_s
        if not benchmarks.from_history and benchmarks.cached < benchmarks.points:
            rough.add(stage)
    order = dict.fromkeys(_STAGES.values())
    stages = tuple(
        Stage(name, counts[name], reused[name], seconds[name], name in rough)
        for name in order
        if counts[name]
    )
    waiting_s = known.waiting_s(live)
    return RunDuration(stages, waiting_s, waiting_s + total, benchmarks)


@dataclass(frozen=True, slots=True)
class _Known:
    """What earlier jobs took: (work, seconds) by group; and the sizes of models and datasets."""

    history: Mapping[Group, Sequence[tuple[float, float]]]
    sizes: Mapping[str, ModelSize]
    images: Mapping[str, int]

    @classmethod
    def read(cls, models: list[OtherModel], live: Iterable[Job], url: str) -> _Known:
        """From the newest succeeded jobs; those that reused a result do not count."""
        statement = (
            select(Job.kind, Job.params, Job.result, (Job.ended_at - Job.started_at).label("took"))
            .where(Job.status == JobStatus.SUCCEEDED, Job.kind.in_(list(_STAGES)))
            .order_by(Job.id.desc())
            .limit(HISTORY_JOBS)
        )
        with reading(url) as session:
            rows: Sequence[Any] = session.execute(statement).all()
            images = {r.name: r.num_images for r in session.scalars(select(Dataset))}
        done = [
            r for r in rows if r.took is not None and not JobResult.from_stored(r.result).reused
        ]
        names = {
            _model_of(params) for params in (*(r.params for r in done), *(j.params for j in live))
        }
        named = [OtherModel(model_id=name) for name in names if name]
        sizes = sizes_of([*named, *models], url)
        history: dict[Group, list[tuple[float, float]]] = defaultdict(list)
        for row in done:
            work = _work(row.kind, row.params, sizes, images)
            history[_group(row.kind, row.params)].append((work, row.took))
        return cls(history, sizes, images)

    def predict(self, kind: str, params: Mapping[str, Any]) -> tuple[float, bool]:
        """Seconds of a job, and whether they are a guess without earlier jobs."""
        work, group = _work(kind, params, self.sizes, self.images), _group(kind, params)
        rate = _ROUGH.get(group[1]) if kind == JobKind.BUILD else None
        rate = rate or _ROUGH.get(kind, Rate(30.0, 0.0))
        guess = rate.start_s + rate.per_unit_s * work
        points = self.history.get(group)
        if not points:
            return guess, True
        expected = predict(points, work, rate.start_s)
        if work and all(_distance(done, work) > log(FAR) for done, _ in points):
            return max(expected, guess), True
        return expected, False

    def waiting_s(self, live: Iterable[Job]) -> float:
        """Seconds until the jobs that are queued or running now have ended."""
        now, shared, alone = time.time(), 0.0, 0.0
        for job in live:
            took, _ = self.predict(job.kind, job.params)
            if job.started_at is not None and job.status == JobStatus.RUNNING:
                took = max(1.0, took - (now - job.started_at))
            if job.exclusive:
                alone += took
            else:
                shared += took
        return shared / settings().slots + alone


def predict(points: Sequence[tuple[float, float]], work: float, start_s: float) -> float:
    """Seconds of a job of so much work, from (work, seconds) of earlier ones.

    The median of the nearest in size; what exceeds the start of the process grows with the work.
    """
    nearest = sorted(points, key=lambda point: _distance(point[0], work))
    scaled = [
        min(took, start_s) + max(0.0, took - start_s) * ((work / done) if work and done else 1.0)
        for done, took in nearest[:NEAREST_JOBS]
    ]
    return float(median(scaled))


def _distance(done: float, work: float) -> float:
    """How far two amounts of work are apart: the magnitude of the logarithm of their ratio."""
    return abs(log((done or 1) / (work or 1)))


def _live(url: str) -> list[Job]:
    with reading(url) as session:
        return list(session.scalars(select(Job).where(Job.status.in_(LIVE))))


def _model_of(params: Mapping[str, Any]) -> str:
    build = params.get("build") or {}
    export = params.get("export") or build.get("export") or {}
    return str(params.get("model_id") or export.get("model_id") or "")


def _group(kind: str, params: Mapping[str, Any]) -> Group:
    precision = params.get("precision") or (params.get("build") or {}).get("precision") or ""
    if not precision:
        return str(kind), str(params.get("format", "")), ""
    return str(kind), file_precision(precision), str(params.get("runtime", ""))


def _work(
    kind: str, params: Mapping[str, Any], sizes: Mapping[str, ModelSize], images: Mapping[str, int]
) -> float:
    """The work of a job: parameters (M) of exports and float builds, images x GMACs of the others.

    0 where it is not known.
    """
    size = sizes.get(_model_of(params), ModelSize())
    calibration = params.get("calibration")
    if kind == JobKind.PREPARE_DATASET:
        return float(images.get(str(params.get("name")), 0))
    if kind == JobKind.BUILD and calibration:
        return (size.gmacs or 0.0) * float(calibration.get("images") or 1)
    if kind in (JobKind.EVALUATE, JobKind.EVALUATE_SHARD):
        return (size.gmacs or 0.0) * _evaluated(params, images)
    return size.params_m or 0.0


def _evaluated(params: Mapping[str, Any], images: Mapping[str, int]) -> int:
    if params.get("stop") is not None:
        return int(params["stop"]) - int(params.get("start") or 0)
    available = images.get(str(params.get("dataset")), 0)
    limit = params.get("limit")
    return min(available, int(limit)) if limit and available else int(limit or available)
