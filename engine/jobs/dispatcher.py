"""The process that starts ready jobs with `run_job`: `python -m engine.jobs.dispatcher`.

It exits if another dispatcher holds the lock, or after `idle_s` without queued or running jobs.
Code that queues or shows jobs calls `ensure_dispatcher`, which also restarts it after a crash.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from db.session import DatabaseGone
from engine.common.error_sentences import error_message, errors_as_sentences
from engine.config import REPOSITORY, child_command, child_environment, settings
from engine.errors import WorkbenchError
from engine.hosts import registry
from engine.hosts.ownership import require_ownership
from engine.jobs import queue, workspaces
from engine.jobs.locks import is_locked, try_lock
from engine.jobs.supervisor import run_job

TICK_S = 0.2
SWEEP_EVERY_S = 1.0
START_TIMEOUT_S = 10.0
GRACE_S = 1.0
PASS_S = 300.0
"""Other jobs pass a benchmark that waits for the machine for so long."""
OUTAGE_S = 3600.0
"""The dispatcher exits after the database has been unavailable for so long."""

_started: list[tuple[subprocess.Popen[bytes], float]] = []


@dataclass(frozen=True, slots=True)
class _Running:
    """A job of this process."""

    exclusive: bool
    ended: threading.Event = field(default_factory=threading.Event)
    started_at: float = field(default_factory=time.monotonic)

    def may_be_passed(self) -> bool:
        """Whether other jobs may start before this one, which waits for the machine.

        Not at first, so that it gets a machine that is free, and not for ever.
        """
        return GRACE_S <= time.monotonic() - self.started_at < PASS_S


class LocalExecutor:
    """Runs jobs in threads of this process; an exclusive one alone, by the lock of the machine."""

    def __init__(self, url: str, slots: int, worker: str) -> None:
        self.url, self.slots, self.worker = url, slots, worker
        self.running: dict[int, _Running] = {}
        self.ended = threading.Event()
        """Set when a job of this process has ended, until `wait` returns."""

    def start_ready(self) -> None:
        """Starts the jobs that may start now, in queue order.

        A benchmark runs alone, so it waits for the lock of the machine. Meanwhile other jobs pass
        it, for PASS_S at most; then they are held back until it has run. Two never wait at once.
        """
        self.running = {i: job for i, job in self.running.items() if not job.ended.is_set()}
        ready = queue.ready(self.url)
        waiting = [
            job for i, _ in ready if (job := self.running.get(i)) is not None and job.exclusive
        ]
        closed = any(not job.may_be_passed() for job in waiting)
        closed = closed or is_locked(settings().host_lock, shared=True)
        free = self.slots - sum(not job.exclusive for job in self.running.values())
        for job_id, exclusive in ready:
            if job_id in self.running:
                continue
            if exclusive and not waiting:
                waiting.append(self._start(job_id, exclusive=True))
                closed = True  # it takes the lock first, if the machine is free
            elif not exclusive and not closed and free > 0:
                self._start(job_id, exclusive=False)
                free -= 1

    def _start(self, job_id: int, *, exclusive: bool) -> _Running:
        self.running[job_id] = job = _Running(exclusive)
        threading.Thread(target=self._run, args=(job_id, job), daemon=True).start()
        return job

    def has_running(self) -> bool:
        """Whether a job of this process has not ended."""
        return any(not job.ended.is_set() for job in self.running.values())

    def wait(self, seconds: float) -> None:
        """Waits until a job of this process ends, `seconds` at most."""
        self.ended.wait(seconds)
        self.ended.clear()

    def _run(self, job_id: int, job: _Running) -> None:
        try:
            run_job(self.url, job_id, self.worker)
        except (SQLAlchemyError, OSError, WorkbenchError) as error:
            # The row is not changed: it stays queued, or running until its lease expires.
            log_line(f"Job {job_id}: {error_message(error)}")
            time.sleep(SWEEP_EVERY_S)  # no immediate retry
        finally:
            job.ended.set()
            self.ended.set()


def log_line(text: str) -> None:
    """Prints a timestamped line to the dispatcher's log."""
    with suppress(OSError):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


def dispatch(worker: str = "engine.worker") -> None:
    """Runs until there was no live job for `idle_s`; returns at once if another dispatcher runs.

    Waits for an unavailable database. Raises DatabaseUnusable if another home owns the database.
    """
    while (lock := _acquire_lock(lock_path())) is not None:
        os.set_inheritable(lock, False)
        loop = _Loop(settings().url, worker)
        while not loop.is_over():
            loop.step()
            loop.executor.wait(TICK_S)
        if loop.executor.has_running():
            return  # the exit ends these jobs, and only then releases the lock
        os.close(lock)
        # Whoever queued a job before this was told that a dispatcher runs.
        if not loop.has_live():
            return


class _Loop:
    """The steps of the dispatcher; a step that fails because of the database is repeated."""

    def __init__(self, url: str, worker: str) -> None:
        self.url = url
        self.executor = LocalExecutor(url, settings().slots, worker)
        self.recovered = False
        self.swept_at = 0.0
        self.live_at = self.answered_at = time.monotonic()
        self.last_message = ""

    def is_over(self) -> bool:
        """Whether no job was live for `idle_s`, or the database was unavailable for OUTAGE_S."""
        now = time.monotonic()
        idle = now - self.live_at >= settings().idle_s and not self.executor.has_running()
        return idle or now - self.answered_at >= OUTAGE_S

    def step(self) -> None:
        """Sweeps at intervals, and starts the jobs that may start."""
        now = time.monotonic()
        try:
            if now - self.swept_at >= SWEEP_EVERY_S:
                self.swept_at = now
                self._sweep()
            if self.recovered:
                self.executor.start_ready()
            if self.executor.has_running():
                self.live_at = time.monotonic()
        except (SQLAlchemyError, OSError) as error:
            if not isinstance(error, DatabaseGone):
                self.live_at = now  # idleness is unknown
            if (message := error_message(error) or str(error)) != self.last_message:
                log_line(message)
                self.last_message = message

    def has_live(self) -> bool:
        """Whether there are live jobs; False where the database is unavailable."""
        with suppress(SQLAlchemyError, OSError):
            return queue.has_live(self.url)
        return False

    def _sweep(self) -> None:
        home = require_ownership(self.url)
        if not self.recovered:
            # Holding the lock proves that the previous dispatcher of this home has exited.
            queue.recover(self.url, home)
            workspaces.remove(workspaces.abandoned(self.url))
            self.recovered = True
        queue.sweep(self.url)
        registry.announce(self.url)
        self.answered_at, self.last_message = time.monotonic(), ""
        if queue.has_live(self.url):
            self.live_at = time.monotonic()


def lock_path() -> Path:
    """The lock file that allows one dispatcher per home."""
    return settings().home / "dispatcher.lock"


def is_running() -> bool:
    """Whether a dispatcher holds the lock."""
    lock = try_lock(lock_path())
    if lock is None:
        return True
    os.close(lock)
    return False


def ensure_dispatcher() -> bool:
    """Starts a detached dispatcher if there are live jobs and none is running; True if one runs.

    Cheap enough for every page view: one indexed SELECT and one non-blocking lock.
    """
    _started[:] = [(p, t) for p, t in _started if p.poll() is None]
    if is_running():
        return True
    if not queue.has_live(settings().url):
        return False
    if any(time.monotonic() - started < START_TIMEOUT_S for _, started in _started):
        return True
    _started.append((_spawn(), time.monotonic()))
    return True


def _spawn() -> subprocess.Popen[bytes]:
    with (settings().folder("logs") / "dispatcher.log").open("ab") as log:
        return subprocess.Popen(
            child_command("engine.jobs.dispatcher"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env=child_environment(),
            start_new_session=True,
        )


def _acquire_lock(path: Path) -> int | None:
    # `is_running` holds the lock for a moment, so a single failure proves nothing.
    for _ in range(5):
        lock = try_lock(path)
        if lock is not None:
            return lock
        time.sleep(0.1)
    return None


if __name__ == "__main__":
    with errors_as_sentences():
        dispatch()
