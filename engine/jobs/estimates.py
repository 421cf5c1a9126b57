"""When a queued job will start, from how long jobs of its kind took before."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select

from db.enums import ENDED, JobKind, JobStatus
from db.models import Job
from db.session import reading

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
    """Median duration of the last LAST succeeded jobs of each kind; no entry where none ended.

    Jobs that only found what was there already say nothing of how long the work takes.
    """
    found = {}
    with reading(url) as session:
        for kind in set(kinds):
            statement = (
                select(Job.ended_at - Job.started_at, Job.result)
                .where(Job.kind == kind, Job.status == JobStatus.SUCCEEDED)
                .order_by(Job.id.desc())
                .limit(LAST)
            )
            rows = session.execute(statement).all()
            worked = [row for row in rows if not (row[1] or {}).get("reused")]
            times = [seconds for seconds, _ in worked or rows if seconds is not None]
            if times:
                found[kind] = float(median(times))
    return found


@dataclass(frozen=True, slots=True)
class PointsLeft:
    """How far the benchmarks of a run are: `seconds` left, None before the first is done."""

    done: int
    total: int
    seconds: float | None

    @property
    def under_way(self) -> bool:
        """Whether a benchmark is still to come; other jobs of the run may be."""
        return self.done < self.total

    def sentence(self) -> str:
        """`point 4 of 16, about 40 s left`."""
        place = f"point {min(self.done + 1, self.total)} of {self.total}"
        left = "" if self.seconds is None else f", about {in_words(self.seconds)} left"
        return place + left


def points_left(jobs: Iterable[Job], now: float) -> PointsLeft | None:
    """Of a run's jobs; `now` as seconds since the epoch. None for fewer than two benchmarks.

    By the median of those that were measured; one that was measured before takes no time.
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
        and not (job.result or {}).get("reused")
    ]
    if not times:
        return PointsLeft(len(ended), len(points), None)
    usual = median(times)
    running = [job for job in points if job.status == JobStatus.RUNNING]
    spent = sum(min(usual, max(0.0, now - (job.started_at or now))) for job in running)
    left = (len(points) - len(ended)) * usual - spent
    return PointsLeft(len(ended), len(points), max(0.0, left))


def in_words(seconds: float) -> str:
    """`45 s`, `2 min 5 s`, `1 h 4 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


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
