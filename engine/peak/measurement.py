"""The best speed of one matrix product on some threads.

Threads may share one product or have one each: the better of the two counts, because a benchmark
may have its threads in one session or in several. The highest of several short windows is taken:
whatever disturbs a window only makes it slower.
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


def arrangements(threads: int) -> list[int]:
    """In how many sessions at once `threads` may work: one that has all, or one each."""
    return [1] if threads == 1 else [1, threads]


def measure(kernel: Kernel, threads: int, sessions: int) -> Speed:
    """Runs the kernel again and again on the CPU; `threads` are shared evenly by the sessions."""
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
