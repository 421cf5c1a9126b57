"""One measured window: the runners that run repeatedly, and the recorded latencies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

MIN_REQUESTS = 10
Runners = Sequence[Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Window:
    """One measured window: duration in s, number of images, latency of each request in ms."""

    elapsed_s: float
    images: int
    latencies_ms: np.ndarray

    @property
    def images_per_s(self) -> float:
        """Throughput of the window."""
        return self.images / self.elapsed_s


def take_window(
    runners: Runners, batch: int, seconds: float, min_requests: int = MIN_REQUESTS
) -> Window:
    """Calls each runner repeatedly in its own thread for `seconds`, and for `min_requests` in all.

    `batch`: images per request.
    """
    latencies: list[list[float]] = [[] for _ in runners]
    requests_each = -(-min_requests // len(runners))
    started = time.perf_counter()

    def loop(pair: tuple[Callable[[], object], list[float]]) -> None:
        runner, own = pair
        before = time.perf_counter()
        while before - started < seconds or len(own) < requests_each:
            runner()
            after = time.perf_counter()
            own.append((after - before) * 1e3)
            before = after

    run_in_threads(loop, list(zip(runners, latencies, strict=True)))
    elapsed = time.perf_counter() - started
    merged = np.concatenate([np.asarray(own) for own in latencies])
    return Window(elapsed, merged.size * batch, merged)


Item = TypeVar("Item")


def run_in_threads(work: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Calls `work` with each item, in one thread per item; the first runs in the calling thread.

    Returns when all have ended, and then raises the first exception that any of them raised.
    """
    errors: list[BaseException] = []

    def run_item(item: Item) -> None:
        try:
            work(item)
        except BaseException as error:
            errors.append(error)

    others = [threading.Thread(target=run_item, args=(item,)) for item in items[1:]]
    for thread in others:
        thread.start()
    run_item(items[0])
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
