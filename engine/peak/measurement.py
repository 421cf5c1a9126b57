"""The highest speed of one matrix product at a thread count.

All threads share one session, or each has its own: the faster one counts, because a benchmark may
use one session or several. The fastest of several short windows is taken, because interference can
only make a window slower.
"""

from __future__ import annotations

import statistics
from functools import partial

from engine.benchmark.windows import take_window
from engine.peak.kernels import Kernel
from engine.peak.records import Speed
from engine.runtimes.onnxruntime import options_of, session_over

WARM_UP_S = 0.1
WINDOW_S = 0.08
WINDOWS = 6


def session_counts(threads: int) -> list[int]:
    """The numbers of sessions to measure for `threads`: one with all of them, or one each."""
    return [1] if threads == 1 else [1, threads]


def measure(kernel: Kernel, threads: int, sessions: int) -> Speed:
    """Runs the kernel repeatedly on the CPU; `threads` are divided evenly among the sessions."""
    options = options_of(threads // sessions)
    loaded = [session_over(kernel.model, options) for _ in range(sessions)]
    runners = [partial(session.run, None, {"x": kernel.x}) for session in loaded]
    take_window(runners, 1, WARM_UP_S)
    windows = [take_window(runners, 1, WINDOW_S) for _ in range(WINDOWS)]
    speeds = [kernel.macs * window.images_per_s / 1e9 for window in windows]
    return Speed(
        kernel=kernel.name,
        precision=kernel.precision,
        threads=threads,
        sessions=sessions,
        best_gmacs_per_s=max(speeds),
        median_gmacs_per_s=statistics.median(speeds),
    )
