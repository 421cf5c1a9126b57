"""The one process that hands ready jobs to `run_job`: `python -m engine.jobs.dispatcher`.

It leaves when another one holds the lock, or when nothing has been live for a while; whoever
queues or shows jobs calls `ensure_dispatcher`, which is also the restart after a crash.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from engine.config import REPOSITORY, settings
from engine.jobs import store
from engine.jobs.locks import try_lock
from engine.jobs.run_job import HOST, run_job

TICK_S = 0.2
SWEEP_EVERY_S = 1.0
START_PATIENCE_S = 10.0

_started: list[tuple[subprocess.Popen[bytes], float]] = []


class LocalExecutor:
    """Runs jobs in threads of this process; an exclusive job runs alone."""

    def __init__(self, url: str, slots: int, worker: str) -> None:
        self.url, self.slots, self.worker = url, slots, worker
        self.running: dict[int, tuple[threading.Thread, bool]] = {}

    def start_ready(self) -> None:
        """Starts what may start now, strictly in the order of the queue."""
        self.running = {i: job for i, job in self.running.items() if job[0].is_alive()}
        for job_id, exclusive in store.ready(self.url):
            if job_id in self.running:
                continue
            alone = exclusive or any(held for _, held in self.running.values())
            if len(self.running) >= (1 if alone else self.slots):
                return
            arguments = (self.url, job_id, self.worker)
            thread = threading.Thread(target=run_job, args=arguments, daemon=True)
            self.running[job_id] = (thread, exclusive)
            thread.start()


def dispatch(worker: str = "engine.jobs.worker") -> None:
    """Runs until nothing has been live for `idle_s`; returns at once if another dispatcher runs."""
    lock = _patient_lock(lock_path())
    if lock is None:
        return
    os.set_inheritable(lock, False)
    url = settings().url
    # Holding the lock proves that whoever ran this host's jobs is gone.
    store.recover(url, HOST)
    executor = LocalExecutor(url, settings().slots, worker)
    swept_at = 0.0
    live_at = time.monotonic()
    while time.monotonic() - live_at < settings().idle_s:
        now = time.monotonic()
        if now - swept_at >= SWEEP_EVERY_S:
            swept_at = now
            store.sweep(url)
            if store.has_live(url):
                live_at = now
        executor.start_ready()
        time.sleep(TICK_S)


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
    if not store.has_live(settings().url):
        return False
    if any(time.monotonic() - started < START_PATIENCE_S for _, started in _started):
        return True
    _started.append((_spawn(), time.monotonic()))
    return True


def _spawn() -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    with (settings().folder("logs") / "dispatcher.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "engine.jobs.dispatcher"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": path, "SENET_HOME": str(settings().home)},
            start_new_session=True,
        )


def _patient_lock(path: Path) -> int | None:
    # `is_running` holds the lock for an instant; one refusal does not prove another dispatcher.
    for _ in range(5):
        lock = try_lock(path)
        if lock is not None:
            return lock
        time.sleep(0.1)
    return None


if __name__ == "__main__":
    dispatch()
