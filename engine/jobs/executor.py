"""Where ready jobs run: the interface of the dispatcher to it, and this machine."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from engine import __version__
from engine.common.error_sentences import error_message
from engine.config import settings
from engine.errors import WorkbenchError
from engine.hosts import registry, wishes
from engine.hosts.registry import HostRecord
from engine.jobs import queue
from engine.jobs.locks import is_locked
from engine.jobs.queue import Ready
from engine.jobs.supervisor import run_job

GRACE_S = 1.0
PASS_S = 300.0
"""Other jobs pass a benchmark that waits for the machine for so long."""
AGAIN_S = 1.0


class Executor(Protocol):
    """Runs `run_job(url, job_id)` for ready jobs, somewhere; `run_job` claims the job there."""

    def recover(self, home: str) -> None:
        """Requeues what an earlier dispatcher of this home left running, if it cannot run still."""

    def start_ready(self) -> None:
        """Starts the jobs that may start now, in queue order; says why the others cannot."""

    def has_running(self) -> bool:
        """Whether a job that was started has not ended."""

    def wait(self, seconds: float) -> None:
        """Waits until a job ends, `seconds` at most."""


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

    def recover(self, home: str) -> None:
        """The jobs of this home were children of its dispatcher, which has exited."""
        queue.recover(self.url, home)

    def start_ready(self) -> None:
        """Starts the jobs that may start now, in queue order.

        A benchmark runs alone, so it waits for the lock of the machine. Meanwhile other jobs pass
        it, for PASS_S at most; then they are held back until it has run. Two never wait at once.
        """
        self.running = {i: job for i, job in self.running.items() if not job.ended.is_set()}
        found = queue.ready(self.url)
        hosts = registry.all_hosts(self.url) if any(job.wish for job in found) else []
        ready = [job for job in found if self._is_for_here(job, hosts)]
        waiting = [
            run for job in ready if (run := self.running.get(job.id)) is not None and run.exclusive
        ]
        closed = any(not job.may_be_passed() for job in waiting)
        closed = closed or is_locked(settings().host_lock, shared=True)
        free = self.slots - sum(not job.exclusive for job in self.running.values())
        for job in ready:
            if job.id in self.running:
                continue
            if job.exclusive and not waiting:
                waiting.append(self._start(job.id, exclusive=True))
                closed = True  # it takes the lock first, if the machine is free
            elif not job.exclusive and not closed and free > 0:
                self._start(job.id, exclusive=False)
                free -= 1

    def _is_for_here(self, job: Ready, hosts: list[HostRecord]) -> bool:
        """Whether a job may run on this machine; says why not where it is for other hosts."""
        if not job.wish:
            return True
        here = any(host.is_here and job.wish.allows(host) for host in hosts)
        reason = None if here else wishes.why_none(job.wish, hosts, __version__)
        queue.say_why_waiting(self.url, job, reason)
        return here

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
            time.sleep(AGAIN_S)  # no immediate retry
        finally:
            job.ended.set()
            self.ended.set()


def log_line(text: str) -> None:
    """Prints a timestamped line to the dispatcher's log."""
    with suppress(OSError):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)
