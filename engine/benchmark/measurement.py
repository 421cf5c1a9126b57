"""When measuring has gone on for long enough.

Warm-up until two short windows agree, then windows until the last three agree within the
tolerance or the time is up (then the result is marked unstable). Figures are taken over those
last three windows; the interval of the throughput is the range of their single values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from engine.benchmark.windows import Window
from engine.specs import BenchmarkSpec

AGREEING_WINDOWS = 3
WARM_UP_WINDOW_S = 0.25
WARM_UP_MAX_S = 5.0
Take = Callable[[float], Window]
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """All windows after warm-up; `stable` says that the last three agree."""

    windows: tuple[Window, ...]
    stable: bool
    warm_up_s: float
    whole: bool = False

    @property
    def reported(self) -> tuple[Window, ...]:
        """The windows that the figures are taken over: all of them where a count was asked for."""
        return self.windows if self.whole else self.windows[-AGREEING_WINDOWS:]


def measure(
    take: Take,
    spec: BenchmarkSpec,
    progress: Progress,
    watched: AbstractContextManager[object] | None = None,
) -> Measured:
    """Warms up, then takes windows until throughput is stable; `watched` is open meanwhile."""
    warm_up_s = warm_up(take, spec.tolerance)
    windows: list[Window] = []
    with watched or nullcontext():
        begun = time.monotonic()
        while True:
            windows.append(take(spec.window_s))
            elapsed = time.monotonic() - begun
            progress(elapsed, f"{windows[-1].images_per_s:,.1f} images/s")
            stable = _agree(windows[-AGREEING_WINDOWS:], AGREEING_WINDOWS, spec.tolerance)
            done = sum(window.images for window in windows) >= spec.least_samples * spec.processes
            late = elapsed >= spec.max_s and len(windows) >= AGREEING_WINDOWS
            if (stable and done) or late:
                return Measured(tuple(windows), stable, warm_up_s, spec.least_samples > 0)


def warm_up(take: Take, tolerance: float) -> float:
    """Short windows until two agree; the seconds that took."""
    windows: list[Window] = []
    begun = time.monotonic()
    while time.monotonic() < begun + WARM_UP_MAX_S and not _agree(windows[-2:], 2, tolerance):
        windows.append(take(WARM_UP_WINDOW_S))
    return time.monotonic() - begun


def _agree(windows: list[Window], count: int, tolerance: float) -> bool:
    rates = [window.images_per_s for window in windows]
    return len(rates) == count and max(rates) <= min(rates) * (1 + tolerance)
