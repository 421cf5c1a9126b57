"""The interface of a job's code to the queue: progress, log and a working folder."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from db.session import is_unavailable
from engine.common.error_sentences import error_message
from engine.errors import JobLost
from engine.jobs import host_lock, queue
from engine.jobs.results import PartialResult

REPORT_EVERY_S = 0.5
QUIET_S = 5.0
RATE_WINDOW_S = 10.0
ASIDE_S = 1.0


@dataclass
class JobContext:
    """Passed to every job handler. `workspace` is removed however the attempt ends."""

    url: str
    job_id: int
    attempt: int
    workspace: Path
    kind: str = ""
    host_lock: int | None = None
    """Descriptor of the machine's lock; None where the work runs outside the queue."""
    when_idle: bool = False
    """Whether the job runs on an idle machine only, and makes way for other jobs."""
    _reported_at: float = 0.0
    _quiet_until: float = 0.0
    _history: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))

    def progress(
        self,
        done: int,
        total: int,
        unit: str,
        message: str | None = None,
        partial: PartialResult | None = None,
    ) -> None:
        """Reports `done` of `total` units, and the partial result if there is one.

        Written at most twice a second, and at the end.
        Raises JobLost when this attempt no longer owns the job.
        """
        now = time.monotonic()
        if self._history and done < self._history[-1][1]:
            self._history.clear()  # a new count has begun, with its own rate
        self._history.append((now, done))
        if done < total and now - self._reported_at < REPORT_EVERY_S:
            return
        self._reported_at = now
        values: dict[str, object] = {"done": done, "total": total, "unit": unit}
        values["rate"] = self._rate()
        if message is not None:
            values["message"] = message
        if partial is not None:
            values["partial_result"] = partial.dump()
        self._write(values)

    def say(self, message: str) -> None:
        """Writes a line to the log and shows it as the job's current message."""
        self._log(message)
        self._write({"message": message})

    def stage(self, message: str) -> None:
        """Begins a new stage of the job: progress restarts from zero."""
        self._history.clear()
        self._reported_at = 0.0
        self._write({"done": None, "total": None, "rate": None, "partial_result": None})
        self.say(message)

    def release_machine(self) -> None:
        """Lets other jobs use the machine, until `take_machine`."""
        if self.host_lock is not None:
            host_lock.release(self.host_lock)

    def take_machine(self) -> bool:
        """Takes the machine for this job alone; False while another job uses it."""
        return self.host_lock is None or host_lock.take_alone(self.host_lock, self.kind)

    def others_wait(self) -> bool:
        """Whether this job should make way for another one."""
        return self.when_idle and queue.has_pressing(self.url)

    def step_aside(self) -> None:
        """Gives the machine to the other jobs of the queue, and returns when all have ended."""
        self.say("Paused while other jobs use the machine.")
        self.release_machine()
        while self.others_wait() or not self.take_machine():
            time.sleep(ASIDE_S)

    def _rate(self) -> float | None:
        newest, done = self._history[-1]
        for moment, count in self._history:
            if newest - moment <= RATE_WINDOW_S:
                elapsed = newest - moment
                return (done - count) / elapsed if elapsed > 0 else None
        return None

    def _log(self, message: str) -> None:
        with suppress(OSError):  # a full disk takes no log line, but the job may still succeed
            print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)

    def _write(self, values: dict[str, object]) -> None:
        """Progress that cannot be written now is skipped; it never fails the job."""
        if self._quiet_until and time.monotonic() < self._quiet_until:
            return
        try:
            owned = queue.progress(self.url, self.job_id, self.attempt, **values)
        except SQLAlchemyError as error:
            if not is_unavailable(error):
                raise
            self._quiet_until = time.monotonic() + QUIET_S
            self._log(f"Progress was not written: {error_message(error)}")
            return
        if not owned:
            raise JobLost(f"Attempt {self.attempt} of job {self.job_id} is over.")
