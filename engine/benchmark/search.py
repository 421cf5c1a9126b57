"""The highest rate of arrivals at which the limit on the latency still holds.

Rates between nothing and what the machine can do at most are halved: a run that is valid raises the
floor, one that is not lowers the ceiling and is given up early. More arrivals never shorten a
queue, so the two close in on one rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.benchmark.server import LEAST_REQUESTS, Served

TRIAL_REQUESTS = 1000  # of which 2 may be over the limit
CLOSE_ENOUGH = 0.03  # of the rate
HOPELESS = 1 / 64  # of what the machine can do


@dataclass(frozen=True, slots=True)
class Search:
    """The best valid run, or the slowest of those that failed; and every run, in its order."""

    best: Served
    tried: tuple[Served, ...]


def highest_rate(
    trial: Callable[[float, int], Served],
    capacity_per_s: float,
    seconds_left: Callable[[], float],
) -> Search:
    """Bisects (0, capacity]; `trial(rate, requests)` runs once. One run is made in any case.

    It ends when floor and ceiling are close, when nothing holds, or when the time that is left is
    too short for a run that could be valid.
    """
    floor, ceiling = 0.0, capacity_per_s
    tried: list[Served] = []
    while True:
        rate = (floor + ceiling) / 2
        requests = min(TRIAL_REQUESTS, int(rate * max(0.0, seconds_left())))
        if tried and requests < LEAST_REQUESTS:
            break
        found = trial(rate, max(requests, 1))
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
