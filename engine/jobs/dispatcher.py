"""The one process that hands ready jobs to `run_job`: `python -m engine.jobs.dispatcher`.

It leaves when another one holds the lock, or when nothing has been live for a while; whoever
queues or shows jobs calls `ensure_dispatcher`, which is also the restart after a crash.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from db.session import DatabaseGone
from engine.common import python_child
from engine.common.error_sentences import sentence_of, speaking
from engine.config import REPOSITORY, settings
from engine.errors import WorkbenchError
from engine.hosts.ownership import require_own
from engine.jobs import queue, workspaces
from engine.jobs.locks import try_lock
from engine.jobs.supervisor import run_job

TICK_S = 0.2
SWEEP_EVERY_S = 1.0
START_PATIENCE_S = 10.0
OUTAGE_S = 3600.0
"""The dispatcher waits so long for a database that does not answer."""

_started: list[tuple[subprocess.Popen[bytes], float]] = []


class LocalExecutor:
    """Runs jobs in threads of this process; an exclusive job runs alone."""

    def __init__(self, url: str, slots: int, worker: str) -> None:
        self.url, self.slots, self.worker = url, slots, worker
        self.running: dict[int, tuple[threading.Thread, bool]] = {}

    def start_ready(self) -> None:
        """Starts what may start now, strictly in the order of the queue."""
        self.running = {i: job for i, job in self.running.items() if job[0].is_alive()}
        for job_id, exclusive in queue.ready(self.url):
            if job_id in self.running:
                continue
            alone = exclusive or any(held for _, held in self.running.values())
            if len(self.running) >= (1 if alone else self.slots):
                return
            thread = threading.Thread(target=self._run, args=(job_id,), daemon=True)
            self.running[job_id] = (thread, exclusive)
            thread.start()

    def _run(self, job_id: int) -> None:
        try:
            run_job(self.url, job_id, self.worker)
        except (SQLAlchemyError, OSError, WorkbenchError) as error:
            # The row stays as it is: queued, or running until its lease has run out.
            say(f"Job {job_id}: {sentence_of(error)}")
            time.sleep(SWEEP_EVERY_S)  # not again at once


def say(text: str) -> None:
    """A line for the log of the dispatcher."""
    with suppress(OSError):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


def dispatch(worker: str = "engine.worker") -> None:
    """Runs until nothing has been live for `idle_s`; returns at once if another dispatcher runs.

    A database that does not answer is waited for. Raises DatabaseUnusable when it is another
    home's, or has become so.
    """
    lock = _patient_lock(lock_path())
    if lock is None:
        return
    os.set_inheritable(lock, False)
    loop = _Loop(settings().url, worker)
    while not loop.is_over():
        loop.turn()
        time.sleep(TICK_S)


class _Loop:
    """Turns of the dispatcher; what the database cannot do now is tried again in the next one."""

    def __init__(self, url: str, worker: str) -> None:
        self.url = url
        self.executor = LocalExecutor(url, settings().slots, worker)
        self.recovered = False
        self.swept_at = 0.0
        self.live_at = self.answered_at = time.monotonic()
        self.said = ""

    def is_over(self) -> bool:
        """Nothing was live for long, or the database did not answer for very long."""
        now = time.monotonic()
        return now - self.live_at >= settings().idle_s or now - self.answered_at >= OUTAGE_S

    def turn(self) -> None:
        """Sweeps once in a while, and starts what may start."""
        now = time.monotonic()
        try:
            if now - self.swept_at >= SWEEP_EVERY_S:
                self.swept_at = now
                self._sweep()
            if self.recovered:
                self.executor.start_ready()
        except (SQLAlchemyError, OSError) as error:
            if not isinstance(error, DatabaseGone):
                self.live_at = now  # not known to be idle
            if (told := sentence_of(error) or str(error)) != self.said:
                say(told)
                self.said = told

    def _sweep(self) -> None:
        home = require_own(self.url)
        if not self.recovered:
            # Holding the lock proves that whoever ran this home's jobs is gone.
            queue.recover(self.url, home)
            workspaces.remove(workspaces.abandoned(self.url))
            self.recovered = True
        queue.sweep(self.url)
        self.answered_at, self.said = time.monotonic(), ""
        if queue.has_live(self.url):
            self.live_at = time.monotonic()


def lock_path() -> Path:
    """The file whose lock makes the dispatcher the only one of this home."""
    return settings().home / "dispatcher.lock"


def is_running() -> bool:
    """Whether a dispatcher holds the lock."""
    lock = try_lock(lock_path())
    if lock is None:
        return True
    os.close(lock)
    return False


def ensure_dispatcher() -> bool:
    """Starts a dispatcher, detached, when jobs are live and none runs; True if one runs now.

    Cheap enough for every page view: one indexed SELECT and one attempt at a lock.
    """
    _started[:] = [(p, t) for p, t in _started if p.poll() is None]
    if is_running():
        return True
    if not queue.has_live(settings().url):
        return False
    if any(time.monotonic() - started < START_PATIENCE_S for _, started in _started):
        return True
    _started.append((_spawn(), time.monotonic()))
    return True


def _spawn() -> subprocess.Popen[bytes]:
    with (settings().folder("logs") / "dispatcher.log").open("ab") as log:
        return subprocess.Popen(
            python_child.command("engine.jobs.dispatcher"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env=python_child.environment(**_settings_here()),
            start_new_session=True,
        )


def _settings_here() -> dict[str, str]:
    """Paths may be given relative to the folder of this process."""
    here = settings()
    found = {"SENET_HOME": str(here.home), "SENET_HOST_LOCK": str(here.host_lock)}
    return {**found, "DATABASE_URL": here.database_url} if here.database_url else found


def _patient_lock(path: Path) -> int | None:
    # `is_running` holds the lock for an instant; one refusal does not prove another dispatcher.
    for _ in range(5):
        lock = try_lock(path)
        if lock is not None:
            return lock
        time.sleep(0.1)
    return None


if __name__ == "__main__":
    with speaking():
        dispatch()
