"""The task that Ray runs on a host: one job, with the settings of that host."""

from __future__ import annotations

import os

from engine.config import settings
from engine.jobs.supervisor import run_job


def run_on_host(job_id: int, worker: str) -> None:
    """Runs a job here; its row tells how it ended.

    The database is the one of this host's DATABASE_URL: a password never passes through Ray.
    """
    # Ray sets it to the processors that a task asked for, which is none.
    os.environ.pop("OMP_NUM_THREADS", None)
    run_job(settings().url, job_id, worker)
