"""Queues peak jobs: once per environment and thread count, after a benchmark there.

They wait until no other job is live, and belong to no run: a run is done without them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from db.enums import JobKind
from db.models import Benchmark
from db.session import reading, writing
from engine.config import settings, usable_cores
from engine.jobs import queue
from engine.jobs.context import JobContext
from engine.jobs.queue import NewJob
from engine.peak.records import missing_threads
from engine.runtimes.registry import RUNTIMES, label_of, name_in
from engine.specs import DEFAULT_RUNTIME, PeakSpec

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
            runtime = name_in(row.runtime)
            queue_if_missing(row.environment_digest, used, context.url, runtime)
    return result


def peak_job(spec: PeakSpec) -> NewJob:
    """A job that measures the peak of the machine, with no other job running."""
    threads = " and ".join(str(count) for count in spec.threads)
    where = "" if spec.runtime == DEFAULT_RUNTIME else f" in {label_of(spec.runtime)}"
    return NewJob(
        JobKind.PEAK,
        f"Peak of the machine{where}, {threads} thread{'s' if spec.threads != (1,) else ''}",
        spec.to_json(),
        exclusive=True,
        timeout_s=TIMEOUT_S,
    )


def queue_if_missing(
    environment_digest: str, threads: int, url: str, runtime: str = DEFAULT_RUNTIME
) -> int | None:
    """Queues the peak for a benchmark with `threads` threads unless it is stored; the job's id."""
    if not settings().peak or runtime not in RUNTIMES or not RUNTIMES[runtime].has_peak:
        return None
    counts = (1, min(threads, usable_cores()))
    missing = missing_threads(environment_digest, counts, url, runtime)
    if not missing:
        return None
    job = peak_job(PeakSpec(threads=tuple(missing), runtime=runtime))
    with writing(url) as session:
        return queue.submit(session, replace(job, priority=queue.WHEN_IDLE))
