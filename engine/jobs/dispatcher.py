"""The process that starts ready jobs with `run_job`: `python -m engine.jobs.dispatcher`.

It exits if another dispatcher holds the lock (a file; with PostgreSQL also one of the server), or
after `idle_s` without queued or running jobs.
Code that queues or shows jobs calls `ensure_dispatcher`, which also restarts it after a crash.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from db.session import DatabaseGone
from engine.common.error_sentences import error_message, errors_as_sentences
from engine.config import REPOSITORY, child_command, child_environment, settings
from engine.hosts import registry
from engine.hosts.ownership import require_ownership
from engine.jobs import queue, workspaces
from engine.jobs.executor import Executor, LocalExecutor, log_line
from engine.jobs.leadership import Leadership, has_leader
from engine.jobs.locks import try_lock
from engine.jobs.ray_executor import RayExecutor

TICK_S = 0.2
SWEEP_EVERY_S = 1.0
START_TIMEOUT_S = 10.0
OUTAGE_S = 3600.0
"""The dispatcher exits after the database has been unavailable for so long."""

_started: list[tuple[subprocess.Popen[bytes], float]] = []


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
        if loop.executor.has_running() or loop.replaced:
            return  # the exit ends these jobs, and only then releases the lock
        loop.leadership.give_up()
        os.close(lock)
        # Whoever queued a job before this was told that a dispatcher runs.
        if not loop.has_live():
            return


def executor_of(url: str, worker: str) -> Executor:
    """The executor that SENET_EXECUTOR names."""
    if settings().executor == "ray":
        return RayExecutor(url, worker)
    return LocalExecutor(url, settings().slots, worker)


class _Loop:
    """The steps of the dispatcher; a step that fails because of the database is repeated."""

    def __init__(self, url: str, worker: str) -> None:
        self.url = url
        self.executor = executor_of(url, worker)
        self.leadership = Leadership(url)
        self.recovered = self.replaced = False
        self.swept_at = 0.0
        self.live_at = self.answered_at = time.monotonic()
        self.last_message = ""

    def is_over(self) -> bool:
        """Whether no job was live for `idle_s`, or the database was unavailable for OUTAGE_S.

        Or another dispatcher leads.
        """
        if self.replaced:
            return True
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
            if self.recovered and not self.replaced:
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
        self.replaced = not self.leadership.hold()
        if self.replaced:
            return
        if not self.recovered:
            # Holding the lock proves that the previous dispatcher of this home has exited.
            self.executor.recover(home)
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
    """Whether a dispatcher holds the lock, here or on another host of the cluster."""
    lock = try_lock(lock_path())
    if lock is None:
        return True
    os.close(lock)
    return has_leader(settings().url)


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
