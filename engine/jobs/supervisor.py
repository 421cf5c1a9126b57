"""Supervises one job on this machine: lock, claim, child process, lease, end state.

`run_job(url, job_id)` is the only interface between the queue and the place where work runs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from db.enums import JobStatus
from db.session import is_unavailable
from engine.common.error_sentences import explain
from engine.config import REPOSITORY, child_command, child_environment, settings
from engine.hosts import home, registry
from engine.jobs import host_lock, queue
from engine.jobs.lifeline import EXIT_NOT_RECORDED
from engine.jobs.locks import acquire
from engine.jobs.workspaces import workspace_of

TICK_S = 0.05
RENEW_EVERY_S = 0.5
LOG_TAIL_BYTES = 8192


def run_job(url: str, job_id: int, worker: str = "engine.worker") -> None:
    """Runs a queued job to its end; returns at once if another process has claimed it.

    The host lock is taken before the claim, so the job stays queued while it waits, and the child
    inherits it, so it lasts as long as the work. Benchmarks take it exclusively; one that waits for
    a quiet machine gives it up meanwhile.
    """
    job = queue.get(url, job_id)
    if job is None:
        return
    label = registry.announce(url)

    def still_queued() -> bool:
        row = queue.get(url, job_id)
        return row is not None and row.status == JobStatus.QUEUED

    with acquire(settings().host_lock, exclusive=job.exclusive, wanted=still_queued) as lock:
        if lock is None:
            return
        if job.exclusive:
            host_lock.announce(lock, job.kind)
        own = home.load()
        attempt = queue.claim(
            url,
            job_id,
            home=own.identity if own else None,
            host=label,
            pid=os.getpid(),
            lease_s=settings().lease_s,
        )
        if attempt is not None:
            _Attempt(url, job_id, attempt, job.timeout_s).run(worker, lock)


class _Attempt:
    """One attempt under supervision."""

    def __init__(self, url: str, job_id: int, attempt: int, timeout_s: float) -> None:
        self.url, self.job_id, self.attempt = url, job_id, attempt
        self.deadline = time.monotonic() + timeout_s
        self.timeout_s = timeout_s
        self.lease_ends = time.monotonic() + settings().lease_s
        self.log = settings().home / "logs" / f"{job_id}.{attempt}.log"
        self.oom_kills = _oom_kills()
        self.verdict: str | None = None
        self.over = threading.Event()

    def run(self, worker: str, lock: int) -> None:
        try:
            child = self._start(worker, lock)
        except OSError as error:
            message = explain(error)
            self._clear()
            self._write_end(lambda: self._fail(message))
            return
        try:
            stopped_for = self._watch(child)
        finally:
            self.over.set()
            _kill(child)
            self._clear()
        if stopped_for != "lost":
            self._write_end(lambda: self._record(stopped_for, child.returncode))

    def _clear(self) -> None:
        with suppress(OSError):
            shutil.rmtree(workspace_of(self.job_id, self.attempt))

    def _write_end(self, write: Callable[[], None]) -> None:
        """Writes the end state; if the database stays unavailable, the lease expires instead."""
        try:
            queue.retry_until(write, self.lease_ends)
        except SQLAlchemyError as error:
            if not is_unavailable(error):
                raise
            print(f"Job {self.job_id}, attempt {self.attempt}: {explain(error)}", flush=True)

    def _start(self, worker: str, lock: int) -> subprocess.Popen[bytes]:
        temporary = workspace_of(self.job_id, self.attempt) / "temporary"
        temporary.mkdir(parents=True, exist_ok=True)
        environment = {
            **child_environment(),
            "TMPDIR": str(temporary),  # removed with the workspace, however the attempt ends
            "DATABASE_URL": self.url,
            host_lock.DESCRIPTOR: str(lock),
        }
        settings().folder("logs")
        with self.log.open("wb") as log:
            return subprocess.Popen(
                child_command(worker, str(self.job_id), str(self.attempt)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env=environment,
                start_new_session=True,
                pass_fds=(lock,),
            )

    def _watch(self, child: subprocess.Popen[bytes]) -> str | None:
        """Waits for the child; returns why it must be stopped, or None if it ended by itself.

        The lease is renewed in a thread: a database that takes no answer cannot hold up its end.
        """
        threading.Thread(target=self._keep_renewing, args=(child.pid,), daemon=True).start()
        while child.poll() is None:
            now = time.monotonic()
            if now >= self.deadline:
                return "timeout"
            if now >= self.lease_ends:
                return "lost"
            if self.verdict is not None:
                return self.verdict
            time.sleep(TICK_S)
        return None

    def _keep_renewing(self, pid: int) -> None:
        with suppress(SQLAlchemyError):  # only shown to users; the lease decides
            queue.set_child(self.url, self.job_id, self.attempt, pid)
        while self.verdict is None and not self.over.is_set():
            with suppress(SQLAlchemyError):  # unavailable: tried again until the lease has expired
                self.verdict = self._renew()
            self.over.wait(RENEW_EVERY_S)

    def _renew(self) -> str | None:
        """Extends the lease; returns why the child must be stopped, or None."""
        begun = time.monotonic()
        cancelled = queue.renew(
            self.url,
            self.job_id,
            self.attempt,
            lease_s=settings().lease_s,
            log_tail=read_tail(self.log),
        )
        if cancelled is None:
            row = queue.get(self.url, self.job_id)
            owned = row is not None and row.attempt == self.attempt
            ended = owned and row is not None and row.status != JobStatus.RUNNING
            return None if ended else "lost"
        self.lease_ends = begun + settings().lease_s
        return "cancel" if cancelled else None

    def _record(self, stopped_for: str | None, returncode: int) -> None:
        """Records how the child ended if it could not do so itself; ended rows are not changed."""
        queue.keep_log(self.url, self.job_id, self.attempt, read_tail(self.log))
        if stopped_for == "cancel":
            queue.end(self.url, self.job_id, self.attempt, JobStatus.CANCELLED)
        elif stopped_for == "timeout":
            self._fail(f"Stopped after its time limit of {self.timeout_s:.0f} s.")
        elif returncode < 0 and _oom_kills() > self.oom_kills:
            self._fail("Out of memory: the operating system stopped this job.")
        elif returncode < 0:
            name = signal.Signals(-returncode).name
            reason = f"The job's process was killed by {name}."
            queue.requeue(self.url, self.job_id, self.attempt, reason)
        elif returncode == EXIT_NOT_RECORDED:
            reason = "The database was unavailable for too long while this job ran."
            queue.requeue(self.url, self.job_id, self.attempt, reason)
        else:
            self._fail(f"The job's process ended ({returncode}) without a result; see the log.")

    def _fail(self, error: str) -> None:
        queue.end(self.url, self.job_id, self.attempt, JobStatus.FAILED, error=error)


def read_tail(path: Path, size: int = LOG_TAIL_BYTES) -> str:
    """The last `size` bytes of a log as text."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - size))
            return stream.read().decode(errors="replace").replace("\x00", "")
    except OSError:
        return ""


def _kill(child: subprocess.Popen[bytes]) -> None:
    # The process group: a job may have started child processes.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.stdin is not None:
        child.stdin.close()
    child.wait()


def _oom_kills() -> int:
    try:
        lines = Path("/sys/fs/cgroup/memory.events").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
