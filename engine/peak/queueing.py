"""Queues peak jobs: once per environment and thread count, after a benchmark there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from db.enums import JobKind
from db.models import Benchmark, RunJob
from db.session import reading, writing
from engine.config import settings, usable_cores
from engine.jobs import queue
from engine.jobs.context import JobContext
from engine.jobs.queue import NewJob
from engine.peak.records import missing_threads
from engine.specs import PeakSpec

TIMEOUT_S = 900.0


def run_benchmark(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: benchmarks a build, then queues the peak of its machine where it is missing."""
    from engine.benchmark import job  # imports a runtime, which queueing alone does not need

    result = job.run(params, context)
    if not result.get("reused"):
        with reading(context.url) as session:
            rows = [session.get_one(Benchmark, number) for number in result["benchmarks"]]
        for row in rows:
            used = row.threads * row.instances * row.protocol.get("processes", 1)
            queue_if_missing(context.job_id, row.environment_digest, used, context.url)
    return result


def peak_job(spec: PeakSpec) -> NewJob:
    """A job that measures the peak of the machine, with no other job running."""
    threads = " and ".join(str(count) for count in spec.threads)
    return NewJob(
        JobKind.PEAK,
        f"Peak of the machine, {threads} thread{'s' if spec.threads != (1,) else ''}",
        spec.to_json(),
        exclusive=True,
        timeout_s=TIMEOUT_S,
    )


def queue_if_missing(job_id: int, environment_digest: str, threads: int, url: str) -> int | None:
    """Queues the peak for a benchmark with `threads` threads unless it is stored; the job's id.

    The peak job is added to the runs of the benchmark.
    """
    if not settings().peak:
        return None
    missing = missing_threads(environment_digest, (1, min(threads, usable_cores())), url)
    if not missing:
        return None
    with writing(url) as session:
        peak_id = queue.submit(session, peak_job(PeakSpec(threads=tuple(missing))))
        for run_id in session.scalars(select(RunJob.run_id).where(RunJob.job_id == job_id)).all():
            session.merge(RunJob(run_id=run_id, job_id=peak_id))
    return peak_id
