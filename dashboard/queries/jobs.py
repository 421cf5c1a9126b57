"""Queries for jobs and their runs; not cached."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import aliased

from dashboard.queries.state import url
from db.clock import utc_epoch
from db.enums import LIVE, JobStatus
from db.models import Job, JobNeed, Run, RunJob
from db.session import reading

FAILURES_S = 3 * 86400.0


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with the titles and ids of its live dependencies, and the ids of its runs."""

    row: Job
    waits_for: tuple[str, ...]
    runs: tuple[int, ...]
    needs: tuple[int, ...] = ()


def live_jobs() -> list[JobView]:
    """Queued and running jobs, in queue order."""
    statement = select(Job).where(Job.status.in_(LIVE)).order_by(Job.priority.desc(), Job.id)
    return _views(statement)


def ended_jobs(statuses: tuple[str, ...], limit: int = 200) -> list[JobView]:
    """Ended jobs, the most recent first."""
    statement = select(Job).where(Job.status.in_(statuses)).order_by(Job.ended_at.desc(), Job.id)
    return _views(statement.limit(limit))


def run_jobs(run_id: int) -> list[JobView]:
    """The jobs of a run, in queue order."""
    owned = select(RunJob.job_id).where(RunJob.run_id == run_id)
    return _views(select(Job).where(Job.id.in_(owned)).order_by(Job.id))


def unresolved_failures(limit: int = 5) -> list[JobView]:
    """Failed jobs of the last FAILURES_S seconds without a later equal job, the newest first.

    Those that were dismissed are left out.
    """
    recent = utc_epoch() - FAILURES_S
    later = aliased(Job)
    superseded = select(later.id).where(later.key == Job.key, later.id > Job.id)
    statement = select(Job).where(
        Job.status == JobStatus.FAILED,
        Job.cancel.is_(False),
        Job.ended_at > recent,
        ~superseded.exists(),
    )
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
    """By run id: title, and (kind, status) of its jobs in queue order."""
    statement = (
        select(Run.id, Run.title, Job.kind, Job.status)
        .join(RunJob, RunJob.run_id == Run.id)
        .join(Job, Job.id == RunJob.job_id)
        .where(Run.id.in_(run_ids))
        .order_by(Run.id, Job.id)
    )
    stages: dict[int, tuple[str, list[tuple[str, str]]]] = {}
    with reading(url()) as session:
        for run_id, title, kind, status in session.execute(statement):
            stages.setdefault(run_id, (title, []))[1].append((kind, status))
    return stages


def has_live_jobs() -> bool:
    """Whether a job is queued or running."""
    with reading(url()) as session:
        return session.scalar(select(Job.id).where(Job.status.in_(LIVE)).limit(1)) is not None


def newest_job(key: str) -> Job | None:
    """The newest job with this key, of any status."""
    statement = select(Job).where(Job.key == key).order_by(Job.id.desc()).limit(1)
    with reading(url()) as session:
        return session.scalar(statement)


def find_run(run_id: int) -> Run | None:
    """The run with this id, or None."""
    with reading(url()) as session:
        return session.get(Run, run_id)


def recent_runs(limit: int = 10) -> list[Run]:
    """The last `limit` runs, the newest first."""
    with reading(url()) as session:
        return list(session.scalars(select(Run).order_by(Run.id.desc()).limit(limit)))


def tags_in_use(limit: int = 200) -> list[str]:
    """The tags of the last `limit` runs, each once."""
    return sorted({tag for run in recent_runs(limit) for tag in run.request.get("tags") or ()})
