"""MLPerf Offline: all samples are available at once, and the metric is throughput.

One query holds every sample; the system may process them in any order and batch size (here:
requests of the given batch size, taken by each session as it becomes free). The metric is the
number of samples over the time from the query to the last answer. MLPerf Inference rules,
"Scenarios"; Reddi et al. (2020), "MLPerf Inference Benchmark", section IV. A pass here lasts
seconds (the rules require ten minutes and 24,576 samples) and is repeated until three agree.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np

from engine.benchmark.windows import Runners, Window, run_in_threads

PASS_S = 3.0
MIN_REQUESTS_PER_SESSION = 2


def take_pass(runners: Runners, batch: int, requests: int) -> Window:
    """Runs `requests` requests; `latencies_ms` are the times from the query to each answer."""
    numbers = itertools.count()  # next() is atomic: no two sessions get the same request
    done = np.zeros(requests)
    started = time.perf_counter()

    def work(runner: Callable[[], object]) -> None:
        while (number := next(numbers)) < requests:
            runner()
            done[number] = time.perf_counter() - started

    run_in_threads(work, runners)
    return Window(float(done.max()), requests * batch, done * 1e3)


class OfflinePasses:
    """Passes of a given duration, sized by the throughput of the previous pass."""

    def __init__(self, runners: Runners, batch: int) -> None:
        """The first pass has the minimum size, because the throughput is not known yet."""
        self._runners, self._batch = runners, batch
        self._images_per_s = 0.0

    def take(self, seconds: float) -> Window:
        """One pass of about `seconds`."""
        minimum = MIN_REQUESTS_PER_SESSION * len(self._runners)
        requests = max(minimum, round(self._images_per_s * seconds / self._batch))
        window = take_pass(self._runners, self._batch, requests)
        self._images_per_s = window.images_per_s
        return window
