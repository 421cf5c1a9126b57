"""MLPerf's Server: requests arrive by chance, and 99 of 100 must be answered within a limit.

Arrivals are a Poisson process: independent exponential gaps with a mean of 1 / rate, from a fixed
seed. They keep coming whether or not the last one was answered, and latency counts from the moment
at which a request was due, not from when somebody had time for it: a backlog is seen in full
("coordinated omission" is what hides it). Instances take requests in the order of arrival.
MLPerf Inference rules, "Scenarios"; Reddi et al. (2020), "MLPerf Inference Benchmark", section IV.

The verdict is the rules' early stopping (loadgen/early_stopping.cc): so few requests were over the
limit that, with 99 % confidence, at most 1 % of all would be. It needs 459 requests at least. The
rules ask for ten minutes; a run here is as long as that many requests take.
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

from engine.benchmark.windows import Runners, at_once
from engine.common.stats import most_over

SHARE_OVER = 0.01
CONFIDENCE = 0.99
LEAST_REQUESTS = 459  # the fewest that can be valid: none of them over the limit
OVERTIME = 2.0  # times the planned length, after which a rate is beyond what can be answered
CLOSE_S = 100e-6  # sleeping is not exact to less than this


class Clock(Protocol):
    """What time it is, and waiting; tests bring one of their own."""

    def now(self) -> float:
        """Seconds since some origin."""

    def sleep_until(self, moment: float) -> None:
        """Returns at `moment`, or at once if that has passed."""


class WallClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since some origin."""
        return time.perf_counter()

    def sleep_until(self, moment: float) -> None:
        """Sleeps, and yields for the last instant, for which sleeping is too coarse."""
        ahead = moment - time.perf_counter()
        if ahead > CLOSE_S:
            time.sleep(ahead - CLOSE_S)
        while time.perf_counter() < moment:
            time.sleep(0)


@dataclass(frozen=True, slots=True)
class Served:
    """Latency of each answered request (ms, from when it was due) in the order of arrival.

    `planned` requests were to come at `rate_per_s`; fewer were answered when it was given up.
    """

    rate_per_s: float
    limit_ms: float
    planned: int
    latencies_ms: np.ndarray
    elapsed_s: float

    @property
    def requests(self) -> int:
        """How many were answered."""
        return int(self.latencies_ms.size)

    @property
    def over(self) -> int:
        """How many took longer than the limit."""
        return int((self.latencies_ms > self.limit_ms).sum())

    @property
    def valid(self) -> bool:
        """Whether the limit is kept, as far as that many requests can show it."""
        return self.requests == self.planned and self.over <= allowed_over(self.planned)

    @property
    def reason(self) -> str:
        """Why it is valid or not, in one clause."""
        limit = f"{self.limit_ms:g} ms"
        told = f"{self.over:,} of {self.requests:,} requests took longer than {limit}"
        allowed = allowed_over(self.planned)
        if allowed < 0:
            return (
                f"{self.planned:,} requests are too few to tell, {LEAST_REQUESTS} are needed "
                f"(give it more time); {told}"
            )
        if self.requests < self.planned:
            return f"given up after {told}, of {self.planned:,} planned {allowed:,} may"
        return f"{told}, and {allowed:,} may"


def allowed_over(requests: int) -> int:
    """How many of so many may be over the limit; -1 where so few prove nothing."""
    return most_over(requests, SHARE_OVER, CONFIDENCE)


def poisson_arrivals(rate_per_s: float, count: int, seed: int) -> np.ndarray:
    """When each of `count` requests is due, in seconds from the start, rising."""
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
) -> Served:
    """Answers every request, each by the first instance that is free, in the order of arrival.

    With `give_up` it stops once so many are over the limit that the run can no longer be valid; in
    any case after `longest_s`, when requests come faster than they can ever be answered.
    An instance that is free takes the next number and waits until it is due: that is the queue.
    What a request raises is raised when the others in flight have ended.
    """
    time_of = clock or WallClock()
    numbers = itertools.count()  # next() is atomic: no two instances get the same request
    planned = len(arrivals_s)
    latencies = np.full(planned, np.nan)
    most = max(0, allowed_over(planned)) if give_up else planned
    over = itertools.count(1)
    hopeless = threading.Event()
    started = time_of.now()

    def answer(runner: Callable[[], object], due: float) -> float:
        time_of.sleep_until(due)
        try:
            runner()
        except BaseException:
            hopeless.set()
            raise
        return 1e3 * (time_of.now() - due)

    def work(runner: Callable[[], object]) -> None:
        while (number := next(numbers)) < planned and not hopeless.is_set():
            latencies[number] = answer(runner, started + arrivals_s[number])
            late = latencies[number] > limit_ms and next(over) > most
            if late or time_of.now() - started > longest_s:
                hopeless.set()

    at_once(work, runners)
    answered = latencies[~np.isnan(latencies)]
    return Served(rate_per_s, limit_ms, planned, answered, time_of.now() - started)
