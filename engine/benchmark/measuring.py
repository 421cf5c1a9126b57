"""When measuring has gone on for long enough.

Warm-up until two short windows agree, then windows until the last three agree within the
tolerance or the time is up (then the result is marked unstable). Figures are taken over those
last three windows; the interval of the throughput is the range of their single values.
Cores that other processes kept busy meanwhile are recorded: much of that spoils a benchmark.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import psutil

from engine.benchmark.team import Team
from engine.benchmark.windows import Runners, Window, take_window
from engine.specs import BenchmarkSpec

AGREEING_WINDOWS = 3
WARM_UP_WINDOW_S = 0.25
WARM_UP_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class Measured:
    """All windows after warm-up; `stable` says that the last three agree."""

    windows: tuple[Window, ...]
    stable: bool
    warm_up_s: float
    other_busy_cores: float
    whole: bool = False

    @property
    def reported(self) -> tuple[Window, ...]:
        """The windows that the figures are taken over: all of them where a count was asked for."""
        return self.windows if self.whole else self.windows[-AGREEING_WINDOWS:]


def measure(
    runners: Runners,
    batch: int,
    spec: BenchmarkSpec,
    progress: Callable[[float, str], None],
    team: Team | None = None,
) -> Measured:
    """Runs all runners at once, each in its own thread, until throughput is stable.

    A `team` of processes takes the place of the runners.
    """
    take = team.window if team else partial(take_window, runners, batch)
    cpu_s = team.cpu_s if team else time.process_time
    started = time.monotonic()
    _warm_up(take, spec.tolerance)
    warm_up_s = time.monotonic() - started
    windows: list[Window] = []
    begun, busy, own = time.monotonic(), _busy_s(), cpu_s()
    while True:
        windows.append(take(spec.window_s))
        elapsed = time.monotonic() - begun
        progress(elapsed, f"{windows[-1].images_per_s:,.1f} images/s")
        stable = _agree(windows[-AGREEING_WINDOWS:], AGREEING_WINDOWS, spec.tolerance)
        done = sum(window.images for window in windows) >= spec.least_samples * spec.processes
        if (stable and done) or (elapsed >= spec.max_s and len(windows) >= AGREEING_WINDOWS):
            elapsed = time.monotonic() - begun
            others = (_busy_s() - busy - (cpu_s() - own)) / elapsed
            whole = spec.least_samples > 0
            return Measured(tuple(windows), stable, warm_up_s, max(0.0, others), whole)


def _busy_s() -> float:
    """Seconds that all cores together have spent working, for whomever."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0) - getattr(times, "guest", 0))


def _warm_up(take: Callable[[float], Window], tolerance: float) -> None:
    windows: list[Window] = []
    until = time.monotonic() + WARM_UP_MAX_S
    while time.monotonic() < until and not _agree(windows[-2:], 2, tolerance):
        windows.append(take(WARM_UP_WINDOW_S))


def _agree(windows: list[Window], count: int, tolerance: float) -> bool:
    rates = [window.images_per_s for window in windows]
    return len(rates) == count and max(rates) <= min(rates) * (1 + tolerance)
