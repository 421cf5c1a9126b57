"""Estimates of start times, from the durations of earlier jobs of the same kind."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select

from db.enums import JobStatus
from db.models import Job
from db.session import reading
from engine.jobs.results import JobResult

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
