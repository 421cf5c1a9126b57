"""Throughput by wall time and by CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

BATCH = 16


@dataclass(frozen=True, slots=True)
class Rate:
    """Images per second of wall time, and per second of CPU time."""

    wall: float
    core: float


class Stopwatch:
    """Wall time and CPU time, including children, since its creation."""

    def __init__(self) -> None:
        self.wall, self.core = time.perf_counter(), self._core()

    def rate(self, images: int) -> Rate:
        """The rate of `images` images since the creation."""
        return Rate(images / (time.perf_counter() - self.wall), images / (self._core() - self.core))

    @staticmethod
    def _core() -> float:
        own = psutil.Process()
        times = own.cpu_times()
        spent = times.user + times.system + times.children_user + times.children_system
        for child in own.children(recursive=True):
            try:
                spent += sum(child.cpu_times()[:2])
            except psutil.Error:
                continue
        return spent


def mean(a: Rate, b: Rate) -> Rate:
    """The mean of two rates."""
    return Rate((a.wall + b.wall) / 2, (a.core + b.core) / 2)


def parallel_rate(run: Callable[[int], object], threads: int, batches: int) -> Rate:
    """The rate of `run`, called once per batch, in `threads` threads."""
    with ThreadPoolExecutor(threads) as pool:
        stopwatch = Stopwatch()
        list(pool.map(run, range(batches)))
        return stopwatch.rate(batches * BATCH)
