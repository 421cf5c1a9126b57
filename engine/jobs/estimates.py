"""Estimates of start times, from the durations of earlier jobs of the same kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    its dependencies; what is not exclusive passes an exclusive job that waits. `jobs` are in queue
    order and include the running ones.
    """
    starts: dict[int, float | None] = {}
    ends: dict[int, float | None] = {}
    waiting = sorted(jobs, key=lambda job: not job.running)
    time_s = 0.0
    while waiting and None not in ends.values():
        for job in tuple(waiting):
            if job.running or _may_start(job, jobs, ends, slots, time_s):
                starts[job.id] = time_s
                ends[job.id] = None if job.seconds is None else time_s + job.seconds
                waiting.remove(job)
                if job.seconds is None:
                    break
        later = [end for end in ends.values() if end is not None and end > time_s]
        if not later:
            break
        time_s = min(later)
    return {job.id: starts.get(job.id) for job in jobs if not job.running}


def _may_start(
    job: LiveJob,
    jobs: Sequence[LiveJob],
    ends: Mapping[int, float | None],
    slots: int,
    time_s: float,
) -> bool:
    """Whether a job of the simulation starts at `time_s`; `ends` are of the started jobs."""
    live = {other.id for other in jobs}
    done = {i for i, end in ends.items() if end is not None and end <= time_s}
    if any(need in live and need not in done for need in job.needs):
        return False
    running = [other for other in jobs if other.id in ends and other.id not in done]
    if job.exclusive:
        return not running
    return len(running) < slots and not any(other.exclusive for other in running)
