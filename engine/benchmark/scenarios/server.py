"""MLPerf Server: requests arrive in a Poisson process, and 99 % must be answered within a limit.

The gaps between arrivals are independent and exponential with mean 1 / rate, from a fixed seed.
Requests arrive whether or not the previous ones were answered, and latency counts from the
scheduled arrival, so a backlog is measured in full (no "coordinated omission"). Sessions take
requests in the order of arrival. MLPerf Inference rules, "Scenarios"; Reddi et al. (2020), "MLPerf
Inference Benchmark", section IV.

The verdict is MLPerf's early stopping (loadgen/early_stopping.cc): with 99 % confidence, at most
1 % of all requests exceed the limit. It needs at least 459 requests. The rules require ten minutes;
a run here lasts as long as its number of requests takes.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.benchmark.windows import Runners, run_in_threads
from engine.common.stats import max_exceedances

MAX_SHARE_OVER_LIMIT = 0.01
CONFIDENCE = 0.99
MIN_VALID_REQUESTS = 459  # the fewest that can be valid, with none over the limit
MAX_OVERTIME_FACTOR = 2.0  # times the planned duration; then the run is stopped as invalid
SLEEP_PRECISION_S = 100e-6  # time.sleep is not more exact than this


class Clock(Protocol):
    """A clock to read and to wait for; tests use a simulated one."""

    def now(self) -> float:
        """Seconds since some origin."""

    def sleep_until(self, moment: float) -> None:
        """Returns at `moment`, or at once if that has passed."""


class WallClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Seconds since some origin."""
        return time.perf_counter()

    def sleep_until(self, moment: float) -> None:
        """Sleeps, then yields in a loop for the last SLEEP_PRECISION_S."""
        remaining_s = moment - time.perf_counter()
        if remaining_s > SLEEP_PRECISION_S:
            time.sleep(remaining_s - SLEEP_PRECISION_S)
        while time.perf_counter() < moment:
            time.sleep(0)


@dataclass(frozen=True, slots=True)
class ServerRun:
    """One run at a fixed rate: latency of each answered request in ms, in the order of arrival.

    `planned`: number of requests of the run; fewer were answered when it was stopped early.
    """

    rate_per_s: float
    limit_ms: float
    planned: int
    latencies_ms: np.ndarray
    elapsed_s: float

    @property
    def requests(self) -> int:
        """Number of answered requests."""
        return int(self.latencies_ms.size)

    @property
    def over_limit(self) -> int:
        """Number of requests that took longer than the limit."""
        return int((self.latencies_ms > self.limit_ms).sum())

    @property
    def valid(self) -> bool:
        """Whether the run shows, with CONFIDENCE, that the limit is met."""
        return self.requests == self.planned and self.over_limit <= max_requests_over_limit(
            self.planned
        )

    @property
    def reason(self) -> str:
        """Why the run is valid or not, in one clause."""
        counts = f"{self.over_limit:,} of {self.requests:,} requests exceeded {self.limit_ms:g} ms"
        allowed = max_requests_over_limit(self.planned)
        if allowed < 0:
            return (
                f"{self.planned:,} requests are too few, at least {MIN_VALID_REQUESTS} are needed "
                f"(increase the max duration); {counts}"
            )
        if self.requests < self.planned:
            return f"stopped early: {counts}, {allowed:,} of {self.planned:,} are allowed"
        return f"{counts}, allowed are {allowed:,}"


def max_requests_over_limit(requests: int) -> int:
    """How many of `requests` may exceed the limit; -1 where there are too few for a verdict."""
    return max_exceedances(requests, MAX_SHARE_OVER_LIMIT, CONFIDENCE)


def poisson_arrivals(rate_per_s: float, count: int, seed: int) -> np.ndarray:
    """Scheduled arrivals of `count` requests, in seconds from the start, ascending."""
    gaps = np.random.default_rng(seed).exponential(1 / rate_per_s, count)
    return np.asarray(np.cumsum(gaps))


def serve(
    runners: Runners,
    arrivals_s: np.ndarray,
    limit_ms: float,
    rate_per_s: float,
    clock: Clock | None = None,
    give_up: bool = False,
    longest_s: float = math.inf,
) -> ServerRun:
    """Answers every request in the order of arrival, each by the first free session.

    A free session takes the next request number and waits until it is due; this forms the queue.
    With `give_up`, the run stops when so many requests exceed the limit that it cannot be valid any
    more. It always stops after `longest_s`, because the rate may be above the capacity.
    An exception in a request is raised after the other requests in flight have ended.
    """
    clock = clock or WallClock()
    numbers = itertools.count()  # next() is atomic: no two sessions get the same request
    planned = len(arrivals_s)
    latencies = np.full(planned, np.nan)
    allowed = max(0, max_requests_over_limit(planned)) if give_up else planned
    over_limit = itertools.count(1)
    stopped = threading.Event()
    started = clock.now()

    def answer(runner: Callable[[], object], due: float) -> float:
        clock.sleep_until(due)
        try:
            runner()
        except BaseException:
            stopped.set()
            raise
        return 1e3 * (clock.now() - due)

    def work(runner: Callable[[], object]) -> None:
        while (number := next(numbers)) < planned and not stopped.is_set():
            latencies[number] = answer(runner, started + arrivals_s[number])
            invalid = latencies[number] > limit_ms and next(over_limit) > allowed
            if invalid or clock.now() - started > longest_s:
                stopped.set()

    run_in_threads(work, runners)
    answered = latencies[~np.isnan(latencies)]
    return ServerRun(rate_per_s, limit_ms, planned, answered, clock.now() - started)
