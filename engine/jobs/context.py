"""What a job's code sees of the machinery: progress, a log, and a folder to work in."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import JobLost
from engine.jobs import store

REPORT_EVERY_S = 0.5
RATE_WINDOW_S = 10.0


@dataclass
class JobContext:
    """Handed to every job handler. `workspace` is removed however the attempt ends."""

    url: str
    job_id: int
    attempt: int
    workspace: Path
    _reported_at: float = 0.0
    _history: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))

    def progress(self, done: int, total: int, unit: str, message: str | None = None) -> None:
        """Reports `done` of `total` units; written at most twice a second, and at the end.

        Raises JobLost when this attempt no longer owns the job.
        """
        now = time.monotonic()
        if self._history and done < self._history[-1][1]:
            self._history.clear()  # another count has begun: it has a rate of its own
        self._history.append((now, done))
        if done < total and now - self._reported_at < REPORT_EVERY_S:
            return
        self._reported_at = now
        values = {"done": done, "total": total, "unit": unit, "rate": self._rate()}
        if message is not None:
            values["message"] = message
        self._write(values)

    def say(self, message: str) -> None:
        """One line for the log, and the job's message of the moment."""
        print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)
        self._write({"message": message})

    def stage(self, message: str) -> None:
        """A new stage of the job begins: its progress starts over."""
        self._history.clear()
        self._reported_at = 0.0
        self._write({"done": None, "total": None, "rate": None})
        self.say(message)

    def _rate(self) -> float | None:
        newest, done = self._history[-1]
        for moment, count in self._history:
            if newest - moment <= RATE_WINDOW_S:
                elapsed = newest - moment
                return (done - count) / elapsed if elapsed > 0 else None
        return None

    def _write(self, values: dict[str, object]) -> None:
        if not store.progress(self.url, self.job_id, self.attempt, **values):
            raise JobLost(f"Attempt {self.attempt} of job {self.job_id} is over.")
