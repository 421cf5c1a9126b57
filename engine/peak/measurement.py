"""The highest speed of one matrix product at a thread count.

All threads share one session, or each has its own: the faster one counts, because a benchmark may
use one session or several. The fastest of several short windows is taken, because interference can
only make a window slower.
"""

from __future__ import annotations

import statistics

from engine.benchmark.windows import take_window
from engine.peak.kernels import Kernel
from engine.peak.records import Speed, peak_key
from engine.runtimes.base import LoadOptions
from engine.runtimes.registry import runtime_of
from engine.specs import DEFAULT_RUNTIME

WARM_UP_S = 0.1
WINDOW_S = 0.08
WINDOWS = 6


def session_counts(threads: int) -> list[int]:
    """The numbers of sessions to measure for `threads`: one with all of them, or one each."""
    return [1] if threads == 1 else [1, threads]


def measure(kernel: Kernel, threads: int, sessions: int, runtime: str = DEFAULT_RUNTIME) -> Speed:
    """Runs the kernel repeatedly on the CPU; `threads` are divided evenly among the sessions."""
    options = LoadOptions(threads // sessions, requests=sessions)
    runners = runtime_of(runtime).products(kernel.model, kernel.x, kernel.precision, options)
    take_window(runners, 1, WARM_UP_S)
    windows = [take_window(runners, 1, WINDOW_S) for _ in range(WINDOWS)]
    speeds = [kernel.macs * window.images_per_s / 1e9 for window in windows]
    return Speed(
        kernel=kernel.name,
        precision=peak_key(runtime, kernel.precision),
        threads=threads,
        sessions=sessions,
        best_gmacs_per_s=max(speeds),
        median_gmacs_per_s=statistics.median(speeds),
    )
