"""The highest arrival rate that meets the latency limit, by bisection.

The search interval is (0, capacity of the machine]. A valid run raises the lower bound; an invalid
one lowers the upper bound and stops early. A higher rate never shortens the queue, so the bounds
converge to one rate.

A run must be long enough for the queue to build up: a short run at a high rate ends before any
request has waited. With a p99 limit of L service times, the utilization is about 1 - 2.3 / L, and
the queue needs about 0.4 L^2 service times to settle (M/D/1); a run here is ten times that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.benchmark.scenarios.server import MIN_VALID_REQUESTS, ServerRun

MIN_TRIAL_REQUESTS = 1000  # of which 2 may exceed the limit
SETTLING_FACTOR = 4.0  # times L squared
RATE_TOLERANCE = 0.03  # relative width of the interval at which the search ends
MIN_CAPACITY_SHARE = 1 / 64  # below this share of the capacity the search ends


@dataclass(frozen=True, slots=True)
class RateSearch:
    """The valid run with the highest rate, else the invalid one with the lowest; and all runs."""

    best: ServerRun
    trials: tuple[ServerRun, ...]


def settling_requests(limit_ms: float, capacity_per_s: float, most: int) -> int:
    """Number of requests that a run needs for its queue to settle, `most` at most."""
    service_times = limit_ms / 1e3 * capacity_per_s
    return max(MIN_TRIAL_REQUESTS, min(most, round(SETTLING_FACTOR * service_times**2)))


def highest_rate(
    trial: Callable[[float, int], ServerRun],
    requests_at: Callable[[float], int],
    capacity_per_s: float,
    seconds_left: Callable[[], float],
) -> RateSearch:
    """Bisects (0, capacity]; `trial(rate, requests)` does one run. At least one run is done.

    Ends when the bounds are within RATE_TOLERANCE, when no rate above MIN_CAPACITY_SHARE of the
    capacity is valid, or when the remaining time is too short for a full run.
    """
    low, high = 0.0, capacity_per_s
    trials: list[ServerRun] = []
    while True:
        rate = (low + high) / 2
        requests, fitting = requests_at(rate), int(rate * max(0.0, seconds_left()))
        if trials and fitting < max(requests, MIN_VALID_REQUESTS):
            break
        run = trial(rate, max(1, min(requests, fitting)))
        trials.append(run)
        if run.valid:
            low = rate
        else:
            high = rate
        if high - low <= RATE_TOLERANCE * high or high <= MIN_CAPACITY_SHARE * capacity_per_s:
            break
    valid = [run for run in trials if run.valid]
    best = (
        max(valid, key=lambda run: run.rate_per_s)
        if valid
        else min(trials, key=lambda run: run.rate_per_s)
    )
    return RateSearch(best, tuple(trials))
