"""The child process of one job: `python -m engine.worker ID ATTEMPT`."""

from __future__ import annotations

from engine.jobs import lifeline

if __name__ == "__main__":
    lifeline.attach()  # before the imports below, which take a second and more

import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from db.enums import JobKind, JobStatus
from db.session import guarded, is_unavailable, wait_for_locks
from engine.common.error_sentences import explain
from engine.config import settings
from engine.errors import JobLost, WorkbenchError
from engine.jobs import queue
from engine.jobs.context import JobContext
from engine.jobs.host_lock import inherited
from engine.jobs.results import JobResult
from engine.jobs.workspaces import workspace_of

Handler = Callable[[dict[str, Any], JobContext], dict[str, Any]]

HANDLERS: dict[str, str] = {
    JobKind.PREPARE_DATASET: "engine.datasets.registration:run",
    JobKind.EXPORT: "engine.export.job:run",
    JobKind.BUILD: "engine.build.job:run",
    JobKind.BENCHMARK: "engine.peak.queueing:run_benchmark",
    JobKind.EVALUATE_SHARD: "engine.evaluation.job:run_shard",
    JobKind.EVALUATE: "engine.evaluation.job:run",
    JobKind.PEAK: "engine.peak.job:run",
    JobKind.PROFILE: "engine.profiling.job:run",
    JobKind.EXCITATIONS: "engine.excitations.job:run",
    JobKind.LAYERS: "engine.layer_errors.job:run",
    JobKind.DRAWS: "engine.calibration_draws.job:run",
}


def handler_of(kind: str) -> Handler:
    """The function `module:name` of a job kind, taking (params, context) and returning a result."""
    module, _, name = HANDLERS[kind].partition(":")
    handler: Handler = getattr(import_module(module), name)
    return handler


def main(job_id: int, attempt: int) -> None:
    """Runs the job and records how it ended; if this process dies, the supervisor records it."""
    lifeline.attach()
    url = settings().url
    # Never wait longer than the lease: after it the job belongs to another attempt.
    wait_for_locks(settings().lease_s)
    try:
        job = queue.retry_until(lambda: queue.get(url, job_id), _lease_end())
        if job is None or job.attempt != attempt or job.status != JobStatus.RUNNING:
            return
        workspace = workspace_of(job_id, attempt)
        workspace.mkdir(parents=True, exist_ok=True)
        context = JobContext(
            url,
            job_id,
            attempt,
            workspace,
            kind=job.kind,
            host_lock=inherited(),
            when_idle=job.priority <= queue.WHEN_IDLE,
        )
        with guarded(lambda session: queue.require_owned(session, job_id, attempt)):
            result = handler_of(job.kind)(job.params, context)
    except JobLost:
        return
    except BaseException as error:
        failure = error
        with suppress(OSError):  # a full disk takes no log line
            traceback.print_exc()
        _conclude(lambda: _write_failure(url, job_id, attempt, failure))
        return
    _conclude(lambda: queue.end(url, job_id, attempt, JobStatus.SUCCEEDED, result=result))


def _write_failure(url: str, job_id: int, attempt: int, error: BaseException) -> bool:
    """Records the failure; requeues the job if only the database was unavailable."""
    if is_unavailable(error):
        return queue.requeue(url, job_id, attempt, explain(error))
    kind = type(error).__name__ if isinstance(error, WorkbenchError) else None
    result = JobResult(error_kind=kind).dump() if kind else None
    return queue.end(url, job_id, attempt, JobStatus.FAILED, result=result, error=explain(error))


def _lease_end() -> float:
    return time.monotonic() + settings().lease_s


def _conclude(write: Callable[[], object]) -> None:
    """The final write, retried until the lease has expired."""
    try:
        queue.retry_until(write, _lease_end())
    except SQLAlchemyError as error:
        if not is_unavailable(error):
            raise
        with suppress(OSError):
            print(explain(error), flush=True)
        os._exit(lifeline.EXIT_NOT_RECORDED)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
