"""Rates by the clock and by processor time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

BATCH = 16


@dataclass(frozen=True, slots=True)
class Rate:
    """Images a second by the clock, and a second of processor time of one core."""

    wall: float
    core: float


class Stretch:
    """Clock and processor time, children included, since it was made."""

    def __init__(self) -> None:
        self.wall, self.core = time.perf_counter(), self._core()

    def rate(self, images: int) -> Rate:
        """Of so many images done meanwhile."""
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
    """Of two measurements of one thing."""
    return Rate((a.wall + b.wall) / 2, (a.core + b.core) / 2)


def parallel_rate(run: Callable[[int], object], threads: int, batches: int) -> Rate:
    """Images a second of `run`, called for so many batches by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        stretch = Stretch()
        list(pool.map(run, range(batches)))
        return stretch.rate(batches * BATCH)
