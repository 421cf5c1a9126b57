"""One stretch of measuring: what is run again and again, and what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.benchmark.threads import at_once

LEAST_REQUESTS = 10
Runners = Sequence[Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of measuring: seconds it lasted, images done, latency of each request in ms."""

    elapsed_s: float
    images: int
    latencies_ms: np.ndarray

    @property
    def images_per_s(self) -> float:
        """Throughput of this window."""
        return self.images / self.elapsed_s


def take_window(runners: Runners, batch: int, seconds: float) -> Window:
    """One window: every runner in a thread of its own, again and again for so many seconds."""
    latencies: list[list[float]] = [[] for _ in runners]
    least = -(-LEAST_REQUESTS // len(runners))
    started = time.perf_counter()

    def loop(pair: tuple[Callable[[], object], list[float]]) -> None:
        runner, own = pair
        before = time.perf_counter()
        while before - started < seconds or len(own) < least:
            runner()
            after = time.perf_counter()
            own.append((after - before) * 1e3)
            before = after

    at_once(loop, list(zip(runners, latencies, strict=True)))
    elapsed = time.perf_counter() - started
    merged = np.concatenate([np.asarray(own) for own in latencies])
    return Window(elapsed, merged.size * batch, merged)
