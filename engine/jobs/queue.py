"""Every statement that reads or writes job rows.

What a running job does is written only `WHERE id AND attempt AND status = 'running'`: the
attempt is the fence. A statement that hits no row means that the attempt no longer owns the job.
Leases and times are on the database's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from sqlalchemy import CursorResult, Select, case, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from db.clock import utc_epoch
from db.enums import LIVE, JobKind, JobStatus
from db.models import Job, JobNeed
from db.session import is_unavailable, reading, writing
from engine.common.digests import data_digest
from engine.errors import JobLost
from engine.hosts.wishes import ANY_HOST, Wish

DEAD_ENDS = (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SKIPPED)
WHEN_IDLE = -1
"""Priority of a job that runs only while no other job is live, and makes way for one."""
WAITS = "Waits for a host: "
T = TypeVar("T")
PROGRESS_WAIT_S = 1.0
RENEW_WAIT_S = 2.0
INSIST_EVERY_S = 0.5


def retry_until(write: Callable[[], T], until: float) -> T:
    """Retries a write while the database is unavailable, until a time (monotonic), then raises."""
    while True:
        try:
            return write()
        except SQLAlchemyError as error:
            if not is_unavailable(error) or time.monotonic() >= until:
                raise
        time.sleep(INSIST_EVERY_S)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to submit. A job with equal (kind, params) that is queued or running is reused.

    It starts when all of `needs` have succeeded; without `needs_all`, when all have ended and at
    least one has succeeded.
    """

    kind: JobKind | str
    title: str
    params: dict[str, Any]
    needs: tuple[int, ...] = ()
    needs_all: bool = True
    timeout_s: float = 6 * 3600.0
    exclusive: bool = False
    priority: int = 0
    max_attempts: int = 3
    key: str = field(default="")
    wish: Wish = ANY_HOST

    def identity(self) -> str:
        """The digest by which equal jobs are recognized; for other hosts it is another job."""
        own = self.key or data_digest({"kind": str(self.kind), "params": self.params})
        return data_digest([own, self.wish.dump()]) if self.wish else own


def submit(session: Session, new: NewJob) -> int:
    """Queues a job and returns its id; an equal live job is returned instead of a second one."""
    return submit_all(session, [replace(new, needs=())], {0: new.needs})[0]


def submit_all(
    session: Session, new: Sequence[NewJob], earlier: Mapping[int, tuple[int, ...]] | None = None
) -> list[int]:
    """Queues jobs whose `needs` are positions in the list; returns their ids.

    An equal live job is returned instead of a second one. `earlier`: by position, the ids of jobs
    outside of the list that the job needs as well.
    """
    keys = [job.identity() for job in new]
    live = select(Job.key, Job.id).where(Job.key.in_(set(keys)), Job.status.in_(LIVE))
    ids: dict[str, int] = {row.key: row.id for row in session.execute(live)}
    rows: dict[str, Job] = {}
    for key, job in zip(keys, new, strict=True):
        if key not in ids and key not in rows:
            rows[key] = _row(job, key)
    session.add_all(rows.values())
    session.flush()
    ids |= {key: row.id for key, row in rows.items()}
    for position, (key, job) in enumerate(zip(keys, new, strict=True)):
        if rows.pop(key, None) is None:
            continue
        needs = [ids[keys[need]] for need in job.needs]
        needs += (earlier or {}).get(position, ())
        session.add_all(
            JobNeed(job_id=ids[key], needs_id=need, optional=not job.needs_all)
            for need in dict.fromkeys(needs)
        )
    session.flush()
    return [ids[key] for key in keys]


def _row(new: NewJob, key: str) -> Job:
    return Job(
        kind=str(new.kind),
        title=new.title,
        params=new.params,
        key=key,
        priority=new.priority,
        exclusive=new.exclusive,
        timeout_s=new.timeout_s,
        max_attempts=new.max_attempts,
        wants=new.wish.dump(),
        status=JobStatus.QUEUED,
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """A queued job that may start: whether it needs a machine alone, and which hosts it is for."""

    id: int
    exclusive: bool
    wish: Wish
    message: str | None = None


def ready(url: str, limit: int = 1000) -> list[Ready]:
    """The queued jobs whose dependencies succeeded, in the order to start them.

    Optional dependencies must have ended only; `sweep` skips a job none of whose can succeed. A job
    of WHEN_IDLE is ready only while there is no other one.
    """
    needed = aliased(Job)
    unmet = (
        select(JobNeed.job_id)
        .join(needed, needed.id == JobNeed.needs_id)
        .where(
            JobNeed.job_id == Job.id,
            needed.status != JobStatus.SUCCEEDED,
            or_(JobNeed.optional.is_(False), needed.status.in_(LIVE)),
        )
    )
    blocked = _blocked()
    statement = (
        select(Job.id, Job.exclusive, Job.wants, Job.message)
        .where(
            Job.status == JobStatus.QUEUED,
            ~unmet.exists(),
            Job.id.not_in(blocked),
            or_(Job.priority > WHEN_IDLE, ~_pressing().exists()),
        )
        .order_by(Job.priority.desc(), Job.id)
        .limit(limit)
    )
    with reading(url) as session:
        return [
            Ready(row.id, row.exclusive, Wish.from_stored(row.wants), row.message)
            for row in session.execute(statement)
        ]


def say_why_waiting(url: str, job: Ready, reason: str | None) -> None:
    """Shows why a queued job cannot start on any host; None: it can, and the reason is removed."""
    text = f"{WAITS}{reason}" if reason else None
    if job.message == text or (text is None and not str(job.message).startswith(WAITS)):
        return
    statement = update(Job).where(Job.id == job.id, Job.status == JobStatus.QUEUED)
    with writing(url) as session:
        session.execute(statement.values(message=text))


def require_owned(session: Session, job_id: int, attempt: int) -> None:
    """Keeps the row from changing hands in this transaction. Raises JobLost if it has already."""
    statement = select(Job.id).where(*_fence(job_id, attempt)).with_for_update()
    if session.scalar(statement) is None:
        raise JobLost(f"Attempt {attempt} of job {job_id} is over.")


def _pressing() -> Select[int]:
    """Live jobs that do not wait for an idle machine."""
    other = aliased(Job)
    return select(other.id).where(other.status.in_(LIVE), other.priority > WHEN_IDLE)


def has_pressing(url: str) -> bool:
    """Whether a job is queued or running that does not wait for an idle machine."""
    with reading(url) as session:
        return session.scalar(_pressing().limit(1)) is not None


def get(url: str, job_id: int) -> Job | None:
    """The row of a job, detached."""
    with reading(url) as session:
        return session.get(Job, job_id)


def has_live(url: str) -> bool:
    """Whether anything is queued or running."""
    with reading(url) as session:
        return session.scalar(select(Job.id).where(Job.status.in_(LIVE)).limit(1)) is not None


def claim(
    url: str, job_id: int, *, host: str, pid: int, lease_s: float, home: str | None = None
) -> int | None:
    """queued -> running; returns the new attempt's number, or None if another process was first.

    `home` is the identity of the home that runs the job; `host` and `pid` are shown to users.
    """
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.status == JobStatus.QUEUED, Job.cancel.is_(False))
        .values(
            status=JobStatus.RUNNING,
            attempt=Job.attempt + 1,
            lease_until=utc_epoch() + lease_s,
            home=home,
            host=host,
            pid=pid,
            started_at=utc_epoch(),
            ended_at=None,
            done=None,
            total=None,
            rate=None,
            message=None,
            log_tail=None,
            result=None,
            partial_result=None,
            error=None,
        )
        .returning(Job.attempt)
    )
    with writing(url) as session:
        return session.scalar(statement)


def renew(url: str, job_id: int, attempt: int, *, lease_s: float, log_tail: str) -> bool | None:
    """Extends the lease; returns the cancel flag, or None if the attempt lost the job."""
    statement = (
        update(Job)
        .where(*_fence(job_id, attempt))
        .values(lease_until=utc_epoch() + lease_s, log_tail=log_tail)
        .returning(Job.cancel)
    )
    with writing(url, RENEW_WAIT_S) as session:
        return session.scalar(statement)


def set_child(url: str, job_id: int, attempt: int, pid: int) -> None:
    """Records the process id of the child that does the work."""
    with writing(url) as session:
        session.execute(update(Job).where(*_fence(job_id, attempt)).values(pid=pid))


def progress(url: str, job_id: int, attempt: int, **values: Any) -> bool:
    """Writes done, total, unit, rate (1/s), message, partial_result; False: the job was lost."""
    with writing(url, PROGRESS_WAIT_S) as session:
        return _hit(session, update(Job).where(*_fence(job_id, attempt)).values(**values))


def keep_log(url: str, job_id: int, attempt: int, log_tail: str) -> None:
    """Writes the last lines of the log of the newest attempt, which may have ended already."""
    statement = update(Job).where(Job.id == job_id, Job.attempt == attempt)
    with writing(url) as session:
        session.execute(statement.values(log_tail=log_tail))


def end(
    url: str,
    job_id: int,
    attempt: int,
    status: JobStatus,
    *,
    result: dict[str, Any] | None = None,
    error: str | None = None,
) -> bool:
    """running -> an end state; False if this attempt no longer owns the job."""
    values = {"status": status, "result": result, "error": error, "ended_at": utc_epoch()}
    with writing(url) as session:
        return _hit(
            session,
            update(Job).where(*_fence(job_id, attempt)).values(**values, lease_until=None),
        )


def requeue(url: str, job_id: int, attempt: int, reason: str) -> bool:
    """running -> queued for another attempt, or failed if no attempt is left; one statement."""
    with writing(url) as session:
        return _hit(session, _requeue(reason).where(*_fence(job_id, attempt)))


def recover(url: str, home: str) -> int:
    """Requeues all running jobs of this home, and those without a home (older versions).

    Call it only while holding the dispatcher lock.
    """
    reason = "The workbench stopped while this job ran."
    of_this_home = or_(Job.home == home, Job.home.is_(None))
    with writing(url) as session:
        statement = _requeue(reason).where(Job.status == JobStatus.RUNNING, of_this_home)
        return _count(session, statement)


def sweep(url: str) -> None:
    """Requeues jobs whose lease ran out and skips jobs whose needs can no longer succeed."""
    lost = select(Job.id).where(Job.status == JobStatus.RUNNING, Job.lease_until < utc_epoch())
    blocked = _blocked()
    with reading(url) as session:
        if session.scalar(lost.limit(1)) is None and session.scalar(blocked.limit(1)) is None:
            return
    with writing(url) as session:
        reason = "The job was lost: its process stopped reporting."
        session.execute(_requeue(reason).where(Job.id.in_(lost)))
        skip = update(Job).values(
            status=JobStatus.SKIPPED,
            ended_at=utc_epoch(),
            error="Skipped: a job it depends on did not succeed.",
        )
        while _count(session, skip.where(Job.id.in_(blocked))):
            pass


def _blocked() -> Select[int]:
    """Queued jobs with a dependency that cannot succeed; of optional ones, all must be such."""
    waiting, needed, other, hope = aliased(Job), aliased(Job), aliased(JobNeed), aliased(Job)
    another = (
        select(other.job_id)
        .join(hope, hope.id == other.needs_id)
        .where(other.job_id == JobNeed.job_id, hope.status.not_in(DEAD_ENDS))
    )
    return (
        select(JobNeed.job_id)
        .join(waiting, waiting.id == JobNeed.job_id)
        .join(needed, needed.id == JobNeed.needs_id)
        .where(
            waiting.status == JobStatus.QUEUED,
            needed.status.in_(DEAD_ENDS),
            or_(JobNeed.optional.is_(False), ~another.exists()),
        )
    )


def _requeue(reason: str) -> Any:
    again = Job.attempt < Job.max_attempts
    return update(Job).values(
        status=case(
            (Job.cancel.is_(True), JobStatus.CANCELLED.value),
            (again, JobStatus.QUEUED.value),
            else_=JobStatus.FAILED.value,
        ),
        error=case((again, None), else_=f"{reason} No attempt is left."),
        message=case((again, f"{reason} It will be retried."), else_=None),
        ended_at=case((or_(Job.cancel.is_(True), ~again), utc_epoch()), else_=None),
        lease_until=None,
        pid=None,
    )


def _fence(job_id: int, attempt: int) -> tuple[Any, ...]:
    return Job.id == job_id, Job.attempt == attempt, Job.status == JobStatus.RUNNING


def _hit(session: Session, statement: Any) -> bool:
    return _count(session, statement) == 1


def _count(session: Session, statement: Any) -> int:
    options = {"synchronize_session": False}
    result = session.execute(statement.execution_options(**options))
    return cast(CursorResult[Any], result).rowcount


def dependents(session: Session, job_ids: Iterable[int]) -> set[int]:
    """Ids of all jobs that need any of `job_ids`, directly or through others."""
    return _closure(session, job_ids, JobNeed.needs_id, JobNeed.job_id)


def requirements(session: Session, job_ids: Iterable[int]) -> set[int]:
    """Ids of all jobs that `job_ids` need, directly or through others."""
    return _closure(session, job_ids, JobNeed.job_id, JobNeed.needs_id)


def _closure(session: Session, start: Iterable[int], near: Any, far: Any) -> set[int]:
    found: set[int] = set()
    edge: Sequence[int] = list(start)
    while edge:
        edge = [i for i in session.scalars(select(far).where(near.in_(edge))) if i not in found]
        found.update(edge)
    return found
