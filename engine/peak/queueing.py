"""When a peak is measured: once for each machine and number of threads, after a benchmark there."""

from __future__ import annotations

from sqlalchemy import select

from db.models import RunJob
from db.session import writing
from engine.config import settings, usable_cores
from engine.jobs import queue
from engine.peak.records import missing_threads
from engine.runs.new_jobs import peak_job
from engine.specs import PeakSpec


def queue_if_unknown(job_id: int, environment_digest: str, threads: int, url: str) -> int | None:
    """After a benchmark on so many threads: queues its peak unless it is known; the job's id.

    The runs that the benchmark belongs to own that job too.
    """
    if not settings().peak:
        return None
    wanted = missing_threads(environment_digest, (1, min(threads, usable_cores())), url)
    if not wanted:
        return None
    with writing(url) as session:
        new = queue.submit(session, peak_job(PeakSpec(threads=tuple(wanted))))
        for run_id in session.scalars(select(RunJob.run_id).where(RunJob.job_id == job_id)).all():
            session.merge(RunJob(run_id=run_id, job_id=new))
    return new
