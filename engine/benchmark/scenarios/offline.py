"""MLPerf's Offline: all samples are there at once, and only the throughput counts.

One query holds every sample; the system may take them in whatever order and batches it likes
(here: requests of the batch asked for, by every instance as it becomes free). The figure is samples
over the time from the query to the last answer. MLPerf Inference rules, "Scenarios"; Reddi et al.
(2020), "MLPerf Inference Benchmark", section IV. A pass here lasts seconds where the rules ask for
ten minutes and 24,576 samples, and is repeated until three agree.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np

from engine.benchmark.windows import Runners, Window, at_once

PASS_S = 3.0
LEAST_REQUESTS = 2  # of each instance


def take_pass(runners: Runners, batch: int, requests: int) -> Window:
    """So many requests, offered at once; `latencies_ms` are times from the query to each answer."""
    numbers = itertools.count()  # next() is atomic: no two instances get the same request
    done = np.zeros(requests)
    started = time.perf_counter()

    def work(runner: Callable[[], object]) -> None:
        while (number := next(numbers)) < requests:
            runner()
            done[number] = time.perf_counter() - started

    at_once(work, runners)
    return Window(float(done.max()), requests * batch, done * 1e3)


class Offline:
    """Passes that last about as long as asked, by the rate of the pass before."""

    def __init__(self, runners: Runners, batch: int) -> None:
        """Before the first pass nothing is known: it is as small as can be."""
        self._runners, self._batch = runners, batch
        self._images_per_s = 0.0

    def take(self, seconds: float) -> Window:
        """One pass of about `seconds`."""
        least = LEAST_REQUESTS * len(self._runners)
        requests = max(least, round(self._images_per_s * seconds / self._batch))
        found = take_pass(self._runners, self._batch, requests)
        self._images_per_s = found.images_per_s
        return found
