"""Cancel, dismiss and retry jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from db.clock import utc_epoch
from db.enums import ENDED, LIVE, JobStatus
from db.models import Job, JobNeed, Run, RunJob
from db.session import reading, writing
from engine.errors import InvalidRequest
from engine.jobs.queue import DEAD_ENDS, dependents, requirements


def cancel(url: str, job_id: int) -> JobStatus:
    """Cancels a queued job at once; a running one is stopped within about half a second."""
    with writing(url) as session:
        job = session.get(Job, job_id)
        if job is None:
            raise InvalidRequest(f"There is no job {job_id}; `jobs list` shows them.")
        if job.status == JobStatus.QUEUED:
            job.status, job.cancel = JobStatus.CANCELLED, True
            session.flush()
            session.execute(update(Job).where(Job.id == job_id).values(ended_at=utc_epoch()))
        elif job.status == JobStatus.RUNNING:
            job.cancel = True
        return JobStatus(job.status)


def cancel_run(url: str, run_id: int) -> list[int]:
    """Cancels the remaining jobs of a run, except those another run needs; returns their ids.

    Finished jobs are kept: the same request, submitted again, continues from there.
    """
    shared = select(RunJob.job_id).where(RunJob.run_id != run_id)
    left = (
        select(Job.id)
        .join(RunJob, RunJob.job_id == Job.id)
        .where(RunJob.run_id == run_id, Job.status.in_(LIVE), Job.id.not_in(shared))
        .order_by(Job.id.desc())
    )
    with reading(url) as session:
        if session.get(Run, run_id) is None:
            raise InvalidRequest(f"There is no run {run_id}; the page Jobs lists all runs.")
        ids = list(session.scalars(left))
    for job_id in ids:  # last first, so that none starts in between
        cancel(url, job_id)
    return sorted(ids)


def dismiss(url: str, job_ids: Iterable[int]) -> None:
    """Marks failed jobs as given up: they are no longer listed as open failures.

    The flag is that of a cancelled job; a retry clears it.
    """
    failed = update(Job).where(Job.id.in_(list(job_ids)), Job.status == JobStatus.FAILED)
    with writing(url) as session:
        session.execute(failed.values(cancel=True))


@dataclass(frozen=True, slots=True)
class Need:
    """An edge: `job_id` needs `needs_id`, which may have ended without success (`dead`)."""

    job_id: int
    needs_id: int
    optional: bool = False
    dead: bool = False


def needs_of_live(url: str) -> list[Need]:
    """The needs of all queued jobs."""
    waiting, needed = aliased(Job), aliased(Job)
    statement = (
        select(JobNeed.job_id, JobNeed.needs_id, JobNeed.optional, needed.status)
        .join(waiting, waiting.id == JobNeed.job_id)
        .join(needed, needed.id == JobNeed.needs_id)
        .where(waiting.status == JobStatus.QUEUED)
    )
    with reading(url) as session:
        return [
            Need(job_id, needs_id, optional, status in DEAD_ENDS)
            for job_id, needs_id, optional, status in session.execute(statement)
        ]


def skipped_with(cancelled: Iterable[int], needs: Iterable[Need]) -> set[int]:
    """The queued jobs that are skipped when these jobs do not succeed; as `queue.sweep` does it."""
    by_job: dict[int, list[Need]] = {}
    for need in needs:
        by_job.setdefault(need.job_id, []).append(need)
    lost = given = set(cancelled)
    while True:
        more = {job for job, its in by_job.items() if job not in lost and _cannot_run(its, lost)}
        if not more:
            return lost - given
        lost = lost | more


def _cannot_run(needs: list[Need], lost: set[int]) -> bool:
    dead = [need.dead or need.needs_id in lost for need in needs]
    required = any(is_dead and not need.optional for need, is_dead in zip(needs, dead, strict=True))
    return required or all(dead)


def retry(url: str, job_id: int) -> list[int]:
    """Queues an ended job again, with its failed dependencies and the jobs that went without it.

    Those are the jobs skipped because of it, and ended ones that left out what it was to make.

    Returns the queued ids. Raises InvalidRequest if the job succeeded or is still live, or if an
    equal job is already queued.
    """
    try:
        with writing(url) as session:
            job = session.get(Job, job_id)
            if job is None:
                raise InvalidRequest(f"There is no job {job_id}; `jobs list` shows them.")
            if job.status not in DEAD_ENDS:
                raise InvalidRequest(f"Job {job_id} is {job.status}: there is nothing to retry.")
            before = requirements(session, [job_id])
            after = dependents(session, [job_id, *before])
            redone = select(Job.id).where(
                (Job.id == job_id) | (Job.id.in_(before) & Job.status.in_(DEAD_ENDS))
            )
            partial = select(JobNeed.job_id).where(
                JobNeed.optional.is_(True), JobNeed.needs_id.in_(redone)
            )
            again = select(Job.id).where(
                Job.id.in_(redone)
                | (Job.id.in_(after) & (Job.status == JobStatus.SKIPPED))
                | (Job.id.in_(partial) & Job.status.in_(ENDED))
            )
            ids = list(session.scalars(again.order_by(Job.id)))
            session.execute(
                update(Job)
                .where(Job.id.in_(ids))
                .values(
                    status=JobStatus.QUEUED,
                    cancel=False,
                    max_attempts=Job.attempt + 3,
                    error=None,
                    message=None,
                    ended_at=None,
                    started_at=None,
                    done=None,
                    total=None,
                )
            )
            return ids
    except IntegrityError as error:
        raise InvalidRequest(
            f"Job {job_id} was not queued: an equal job is already queued or running."
        ) from error
