"""Timing of runs under a profiler, the same way for every runtime."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

WARM_UP_RUNS = 3
FEWEST_RUNS, MOST_RUNS = 5, 200

Run = TypeVar("Run")


def median_latency_ms(run: Callable[[], object], seconds: float) -> float:
    """Median wall time of a run over `seconds`, after warm-up."""
    for _ in range(WARM_UP_RUNS):
        run()
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while len(taken) < FEWEST_RUNS or time.perf_counter() < until:
        begun = time.perf_counter()
        run()
        taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken)


def runs_within(seconds: float, latency_ms: float, most: int = MOST_RUNS) -> int:
    """The number of runs in `seconds`, within FEWEST_RUNS and MOST_RUNS."""
    return max(FEWEST_RUNS, min(int(1e3 * seconds / max(latency_ms, 1e-3)), MOST_RUNS, most))


def faster_half(runs: list[Run], duration: Callable[[Run], float]) -> list[Run]:
    """The faster half of the runs in their order: interference can only make a run slower."""
    fastest = sorted(range(len(runs)), key=lambda i: duration(runs[i]))[: -(-len(runs) // 2)]
    return [runs[i] for i in sorted(fastest)]
