"""When a queued job will start, from how long jobs of its kind took before."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select

from db.enums import JobStatus
from db.session import reading
from db.tables import Job

LAST = 20


@dataclass(frozen=True, slots=True)
class Waiting:
    """A live job: seconds it still takes (None: unknown), what it needs, whether it runs alone."""

    id: int
    seconds: float | None
    exclusive: bool = False
    needs: tuple[int, ...] = ()
    running: bool = False


def usual_seconds(url: str, kinds: Iterable[str]) -> dict[str, float]:
    """Median duration of the last LAST succeeded jobs of each kind; no entry where none ended."""
    found = {}
    with reading(url) as session:
        for kind in set(kinds):
            statement = (
                select(Job.ended_at - Job.started_at)
                .where(Job.kind == kind, Job.status == JobStatus.SUCCEEDED)
                .order_by(Job.id.desc())
                .limit(LAST)
            )
            times = [seconds for seconds in session.scalars(statement) if seconds is not None]
            if times:
                found[kind] = float(median(times))
    return found


def expected_starts(jobs: list[Waiting], slots: int) -> Mapping[int, float | None]:
    """Seconds until each queued job starts; None where a job before it has no known duration.

    The queue as the dispatcher runs it: in order, `slots` at once, an exclusive job alone, each
    after what it needs. `jobs` in the order of the queue, the running ones among them.
    """
    ends: dict[int, float | None] = {}
    starts: dict[int, float | None] = {}
    free = [0.0] * slots
    for job in sorted(jobs, key=lambda job: not job.running):
        if job.seconds is None and job.running:
            ends[job.id] = None
            continue
        known = [ends[need] for need in job.needs if need in ends]
        if None in known or None in ends.values():
            starts[job.id] = ends[job.id] = None
            continue
        ready = max((end for end in known if end is not None), default=0.0)
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
