"""The child process of one job: `python -m engine.jobs.worker ID ATTEMPT`."""

from __future__ import annotations

import errno
import sys
import traceback
from pathlib import Path

from db.enums import JobStatus
from engine.config import settings
from engine.errors import JobLost, WorkbenchError
from engine.jobs import lifeline, store
from engine.jobs.context import JobContext
from engine.jobs.handlers import handler_of


def main(job_id: int, attempt: int) -> None:
    """Does the job and writes how it ended; what a dead process cannot write, run_job writes."""
    lifeline.hold()
    url = settings().url
    job = store.get(url, job_id)
    if job is None or job.attempt != attempt or job.status != JobStatus.RUNNING:
        return
    workspace = workspace_of(job_id, attempt)
    workspace.mkdir(parents=True, exist_ok=True)
    context = JobContext(url, job_id, attempt, workspace)
    try:
        result = handler_of(job.kind)(job.params, context)
    except JobLost:
        return
    except BaseException as error:
        traceback.print_exc()
        store.end(url, job_id, attempt, JobStatus.FAILED, error=explain(error))
        return
    store.end(url, job_id, attempt, JobStatus.SUCCEEDED, result=result)


def workspace_of(job_id: int, attempt: int) -> Path:
    """The folder of one attempt, on the file system that its artifacts are renamed within."""
    return settings().folder("tmp") / f"job-{job_id}.{attempt}"


def explain(error: BaseException) -> str:
    """One sentence for the user: what happened, and the way out where there is one."""
    if isinstance(error, WorkbenchError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Out of memory: this job needs more than the machine has free."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            f"The disk is full: nothing half-written was kept. Free some space under "
            f"{settings().home} and retry."
        )
    detail = str(error).strip().splitlines()
    return (
        f"Unexpected {type(error).__name__}: {detail[0] if detail else 'no message'} (see the log)."
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
