"""Queues misbehaving jobs, runs them with real processes, and waits for what must happen."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from db.models import Job
from db.session import writing
from engine.config import REPOSITORY
from engine.jobs import queue as store
from engine.jobs.queue import NewJob
from engine.jobs.supervisor import run_job

WORKER = "tests.support.worker_for_tests"
PATIENCE_S = 60.0


def queue(url: str, kind: str, needs: tuple[int, ...] = (), **options: Any) -> int:
    """Submits a job; `params` and NewJob's own fields by keyword."""
    params = options.pop("params", {})
    new = NewJob(kind=kind, title=kind, params=params, needs=needs, **options)
    with writing(url) as session:
        return store.submit(session, new)


def run(url: str, job_id: int) -> Job:
    """Runs one job here, to the end of this attempt."""
    run_job(url, job_id, WORKER)
    return row(url, job_id)


def run_beside(url: str, job_id: int) -> threading.Thread:
    """Runs one job in a thread, as the dispatcher does."""
    thread = threading.Thread(target=run_job, args=(url, job_id, WORKER), daemon=True)
    thread.start()
    return thread


def row(url: str, job_id: int) -> Job:
    """The job's row."""
    found = store.get(url, job_id)
    assert found is not None
    return found


def until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
    """Waits for a condition; fails naming it."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


@contextmanager
def dispatcher(**environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real dispatcher process; killed at the end if it still runs."""
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.dispatcher_for_tests"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
