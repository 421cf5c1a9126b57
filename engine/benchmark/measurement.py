"""The closed-loop measurement: warm-up, then windows until throughput is stable.

Warm-up ends when two short windows agree. Then windows follow until the last three agree within the
tolerance, or the maximum duration is reached (the result is then marked unstable). Figures are
computed over these three windows; the throughput interval is the range of their three values.
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
TakeWindow = Callable[[float], Window]
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Measurement:
    """All windows after warm-up; `stable`: the last three agree.

    `report_all`: the figures are taken over all windows, not over the last three only.
    """

    windows: tuple[Window, ...]
    stable: bool
    warm_up_s: float
    report_all: bool = False

    @property
    def reported(self) -> tuple[Window, ...]:
        """The windows that the figures are computed over: all if a sample count was requested."""
        return self.windows if self.report_all else self.windows[-AGREEING_WINDOWS:]


def measure(
    take: TakeWindow,
    spec: BenchmarkSpec,
    progress: Progress,
    monitor: AbstractContextManager[object] | None = None,
) -> Measurement:
    """Warms up, then takes windows until throughput is stable; `monitor` is open during these."""
    warm_up_s = warm_up(take, spec.tolerance)
    windows: list[Window] = []
    with monitor or nullcontext():
        begun = time.monotonic()
        while True:
            windows.append(take(spec.window_s))
            elapsed = time.monotonic() - begun
            progress(elapsed, f"{windows[-1].images_per_s:,.1f} images/s")
            stable = _windows_agree(windows[-AGREEING_WINDOWS:], AGREEING_WINDOWS, spec.tolerance)
            done = sum(window.images for window in windows) >= spec.least_samples * spec.processes
            late = elapsed >= spec.max_s and len(windows) >= AGREEING_WINDOWS
            if (stable and done) or late:
                return Measurement(tuple(windows), stable, warm_up_s, spec.least_samples > 0)


def warm_up(take: TakeWindow, tolerance: float) -> float:
    """Takes short windows until two agree, WARM_UP_MAX_S at most; returns the duration in s."""
    windows: list[Window] = []
    begun = time.monotonic()
    while time.monotonic() < begun + WARM_UP_MAX_S and not _windows_agree(
        windows[-2:], 2, tolerance
    ):
        windows.append(take(WARM_UP_WINDOW_S))
    return time.monotonic() - begun


def _windows_agree(windows: list[Window], count: int, tolerance: float) -> bool:
    rates = [window.images_per_s for window in windows]
    return len(rates) == count and max(rates) <= min(rates) * (1 + tolerance)
