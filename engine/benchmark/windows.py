"""One stretch of measuring: what is run again and again, and what was seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

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


Item = TypeVar("Item")


def at_once(work: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Calls `work` with each item, each in a thread of its own, the first in this one.

    Returns when all have ended. What one of them raises is raised here then, the first of several:
    a thread that died must not pass for one that had nothing to do.
    """
    errors: list[BaseException] = []

    def kept(item: Item) -> None:
        try:
            work(item)
        except BaseException as error:
            errors.append(error)

    others = [threading.Thread(target=kept, args=(item,)) for item in items[1:]]
    for thread in others:
        thread.start()
    kept(items[0])
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
