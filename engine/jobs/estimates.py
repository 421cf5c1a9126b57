"""Estimates of start times, from the durations of earlier jobs of the same kind."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select

from db.enums import ENDED, JobKind, JobStatus
from db.models import Job
from db.session import reading
from engine.jobs.results import JobResult
from engine.text import duration

SAMPLE_JOBS = 20


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A live job: remaining seconds (None: unknown), its dependencies, whether it is exclusive."""

    id: int
    seconds: float | None
    exclusive: bool = False
    needs: tuple[int, ...] = ()
    running: bool = False


def median_duration_s(url: str, kinds: Iterable[str]) -> dict[str, float]:
    """Median duration of the last LAST succeeded jobs of each kind; no entry without one.

    Jobs that reused an existing result are left out.
    """
    medians = {}
    with reading(url) as session:
        for kind in set(kinds):
            statement = (
                select(Job.ended_at - Job.started_at, Job.result)
                .where(Job.kind == kind, Job.status == JobStatus.SUCCEEDED)
                .order_by(Job.id.desc())
                .limit(SAMPLE_JOBS)
            )
            rows = session.execute(statement).all()
            worked = [row for row in rows if not JobResult.from_stored(row[1]).reused]
            times = [seconds for seconds, _ in worked or rows if seconds is not None]
            if times:
                medians[kind] = float(median(times))
    return medians


@dataclass(frozen=True, slots=True)
class RemainingPoints:
    """Progress of the benchmarks of a run; `seconds` remaining, None before the first is done."""

    done: int
    total: int
    seconds: float | None

    @property
    def in_progress(self) -> bool:
        """Whether benchmarks remain (other jobs of the run may remain too)."""
        return self.done < self.total

    def sentence(self) -> str:
        """`point 4 of 16, about 40 s left`."""
        place = f"point {min(self.done + 1, self.total)} of {self.total}"
        left = "" if self.seconds is None else f", about {duration(self.seconds)} left"
        return place + left


def remaining_points(jobs: Iterable[Job], now: float) -> RemainingPoints | None:
    """Remaining benchmarks of a run's jobs; None for fewer than two.

    `now` is in seconds since the epoch. Estimated by the median duration of the benchmarks
    measured in this run; reused results take no time.
    """
    points = [job for job in jobs if job.kind == JobKind.BENCHMARK]
    ended = [job for job in points if job.status in ENDED]
    if len(points) < 2:
        return None
    times = [
        job.ended_at - job.started_at
        for job in ended
        if job.status == JobStatus.SUCCEEDED
        and job.ended_at is not None
        and job.started_at is not None
        and not JobResult.from_stored(job.result).reused
    ]
    if not times:
        return RemainingPoints(len(ended), len(points), None)
    usual = median(times)
    running = [job for job in points if job.status == JobStatus.RUNNING]
    spent = sum(min(usual, max(0.0, now - (job.started_at or now))) for job in running)
    left = (len(points) - len(ended)) * usual - spent
    return RemainingPoints(len(ended), len(points), max(0.0, left))


def expected_starts(jobs: list[LiveJob], slots: int) -> Mapping[int, float | None]:
    """Seconds until each queued job starts; None if a job ahead of it has no known duration.

    Simulates the dispatcher: queue order, `slots` jobs at once, exclusive jobs alone, each after
    its dependencies. `jobs` are in queue order and include the running ones.
    """
    ends: dict[int, float | None] = {}
    starts: dict[int, float | None] = {}
    free = [0.0] * slots
    for job in sorted(jobs, key=lambda job: not job.running):
        if job.seconds is None and job.running:
            ends[job.id] = None
            continue
        ends_of_needs = [ends[need] for need in job.needs if need in ends]
        if None in ends_of_needs or None in ends.values():
            starts[job.id] = ends[job.id] = None
            continue
        ready = max((end for end in ends_of_needs if end is not None), default=0.0)
        soonest = max(free) if job.exclusive else heapq.heappop(free)
        start = 0.0 if job.running else max(soonest, ready)
        end = None if job.seconds is None else start + job.seconds
        starts[job.id], ends[job.id] = start, end
        if job.exclusive:
            free = [end or start] * slots
        else:
            heapq.heappush(free, end or start)
    running = {job.id for job in jobs if job.running}
    return {job_id: start for job_id, start in starts.items() if job_id not in running}
