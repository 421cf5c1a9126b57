"""The highest rate of arrivals at which the limit on the latency still holds.

Rates between nothing and what the machine can do at most are halved: a run that is valid raises the
floor, one that is not lowers the ceiling and is given up early. More arrivals never shorten a
queue, so the two close in on one rate.

A run must be long enough for the queue to build up: a short one at a high rate ends before anybody
has waited. Where p99 is the limit L (in service times) the queue is busy to about 1 - 2.3 / L, and
takes about 0.4 L^2 services to settle (M/D/1); a run here is ten times that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.benchmark.scenarios.server import LEAST_REQUESTS, Served

TRIAL_REQUESTS = 1000  # at least; 2 of so many may be over the limit
SETTLING = 4.0  # times L squared
CLOSE_ENOUGH = 0.03  # of the rate
HOPELESS = 1 / 64  # of what the machine can do


@dataclass(frozen=True, slots=True)
class Search:
    """The best valid run, or the slowest of those that failed; and every run, in its order."""

    best: Served
    tried: tuple[Served, ...]


def settling_requests(limit_ms: float, capacity_per_s: float, most: int) -> int:
    """How many requests a run needs, for a queue whose p99 is the limit; `most` bounds it."""
    service_times = limit_ms / 1e3 * capacity_per_s
    return max(TRIAL_REQUESTS, min(most, round(SETTLING * service_times**2)))


def highest_rate(
    trial: Callable[[float, int], Served],
    requests_at: Callable[[float], int],
    capacity_per_s: float,
    seconds_left: Callable[[], float],
) -> Search:
    """Bisects (0, capacity]; `trial(rate, requests)` runs once. One run is made in any case.

    It ends when floor and ceiling are close, when nothing holds, or when the time that is left is
    too short for a whole run.
    """
    floor, ceiling = 0.0, capacity_per_s
    tried: list[Served] = []
    while True:
        rate = (floor + ceiling) / 2
        requests, fitting = requests_at(rate), int(rate * max(0.0, seconds_left()))
        if tried and fitting < max(requests, LEAST_REQUESTS):
            break
        found = trial(rate, max(1, min(requests, fitting)))
        tried.append(found)
        if found.valid:
            floor = rate
        else:
            ceiling = rate
        if ceiling - floor <= CLOSE_ENOUGH * ceiling or ceiling <= HOPELESS * capacity_per_s:
            break
    valid = [served for served in tried if served.valid]
    best = (
        max(valid, key=lambda served: served.rate_per_s)
        if valid
        else min(tried, key=lambda served: served.rate_per_s)
    )
    return Search(best, tuple(tried))
