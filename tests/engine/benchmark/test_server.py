"""Scenario server on a clock of its own: against queueing theory, and the rules' own numbers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats as scipy_stats

from engine.benchmark.scenarios.rate_search import highest_rate, settling_requests
from engine.benchmark.scenarios.server import (
    ServerRun,
    WallClock,
    max_requests_over_limit,
    poisson_arrivals,
    serve,
)

SERVICE_S = 0.01


class VirtualClock:
    """Moves only when somebody waits or works."""

    def __init__(self) -> None:
        self.moment = 100.0

    def now(self) -> float:
        return self.moment

    def sleep_until(self, moment: float) -> None:
        self.moment = max(self.moment, moment)

    def working(self, seconds: float = SERVICE_S) -> Callable[[], None]:
        def work() -> None:
            self.moment += seconds

        return work


def served(
    rate: float, count: int, limit_ms: float = 20.0, seed: int = 0, give_up: bool = False
) -> ServerRun:
    clock = VirtualClock()
    arrivals = poisson_arrivals(rate, count, seed)
    return serve([clock.working()], arrivals, limit_ms, rate, clock, give_up)


def wait_of_md1(share: float, rate: float, service_s: float) -> float:
    """The wait (s) that a `share` of requests does not exceed in M/D/1: Erlang's formula, solved.

    P(W <= t) = (1 - rho) sum_{k=0}^{t/D} (-lambda (t - k D))^k / k! * exp(lambda (t - k D)).
    """
    rho = rate * service_s

    def below(t: float) -> float:
        terms = range(math.floor(t / service_s) + 1)
        parts = [
            (-rate * (t - k * service_s)) ** k
            / math.factorial(k)
            * math.exp(rate * (t - k * service_s))
            for k in terms
        ]
        return (1 - rho) * math.fsum(parts)

    low, high = 0.0, 20 * service_s
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < share else (low, middle)
    return low


def test_arrivals_are_a_poisson_process_and_the_same_for_a_seed() -> None:
    arrivals = poisson_arrivals(50.0, 20_000, seed=3)
    gaps = np.diff(arrivals, prepend=0.0)
    assert scipy_stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 0.01
    counts = np.histogram(arrivals, np.arange(0, arrivals[-1] // 1))[0]
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.15), "a Poisson count"
    assert np.array_equal(arrivals, poisson_arrivals(50.0, 20_000, seed=3))
    assert not np.array_equal(arrivals, poisson_arrivals(50.0, 20_000, seed=4))


def test_every_latency_is_that_of_lindleys_recursion() -> None:
    rate, count = 80.0, 5_000
    waits = [0.0]
    arrivals = poisson_arrivals(rate, count, 0)
    for gap in np.diff(arrivals):
        waits.append(max(0.0, waits[-1] + SERVICE_S - gap))
    expected = 1e3 * (np.array(waits) + SERVICE_S)
    assert served(rate, count).latencies_ms == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_mean_wait_is_pollaczek_and_khinchines(load: float) -> None:
    found = served(load / SERVICE_S, 400_000)
    wait_ms = found.latencies_ms.mean() - 1e3 * SERVICE_S
    assert wait_ms == pytest.approx(1e3 * SERVICE_S * load / (2 * (1 - load)), rel=0.05)


def test_the_p99_is_that_of_an_md1_queue() -> None:
    rate = 0.6 / SERVICE_S
    expected = 1e3 * (wait_of_md1(0.99, rate, SERVICE_S) + SERVICE_S)
    assert np.percentile(served(rate, 400_000).latencies_ms, 99) == pytest.approx(
        expected, rel=0.04
    )


def test_a_stall_is_seen_in_all_that_were_due_meanwhile() -> None:
    """Ten requests a second; the third takes a second: those behind it waited for it."""
    clock = VirtualClock()
    times = iter([0.01, 0.01, 1.0, *[0.01] * 7])

    def work() -> None:
        clock.moment += next(times)

    found = serve([work], np.arange(10) * 0.1, 50.0, 10.0, clock)
    assert found.latencies_ms == pytest.approx(
        [10, 10, 1000, 910, 820, 730, 640, 550, 460, 370], abs=1e-6
    )
    assert found.over_limit == 8, "a clock that starts with the work would have seen one"


def test_two_instances_share_one_queue() -> None:
    """On the real clock: pairs due together are answered together, not one after the other."""
    together = threading.Barrier(2, timeout=5)
    found = serve([together.wait, together.wait], np.array([0, 0, 0.01, 0.01]), 1e3, 1.0)
    assert found.requests == 4


def test_the_machines_clock_does_not_wake_up_early() -> None:
    clock = WallClock()
    due = clock.now() + 0.003
    clock.sleep_until(due)
    assert clock.now() >= due


@pytest.mark.parametrize(
    ("requests", "allowed"), [(458, -1), (459, 0), (661, 0), (662, 1), (1000, 2)]
)
def test_the_verdict_is_that_of_the_rules(requests: int, allowed: int) -> None:
    """459 and 662 are the rules' own numbers; all of them by scipy's binomial distribution."""
    assert max_requests_over_limit(requests) == allowed
    assert scipy_stats.binom.cdf(allowed, requests, 0.01) <= 0.01
    assert scipy_stats.binom.cdf(allowed + 1, requests, 0.01) > 0.01


def latencies(over: int, of: int) -> np.ndarray:
    return np.where(np.arange(of) < over, 30.0, 10.0)


def test_valid_and_invalid_say_why() -> None:
    good = ServerRun(10.0, 20.0, 1000, latencies(2, 1000), 100.0)
    assert good.valid
    assert good.reason == "2 of 1,000 requests exceeded 20 ms, allowed are 2"
    bad = ServerRun(10.0, 20.0, 1000, latencies(3, 1000), 100.0)
    assert not bad.valid
    few = ServerRun(10.0, 20.0, 300, latencies(0, 300), 30.0)
    assert not few.valid
    assert "300 requests are too few, at least 459 are needed" in few.reason


def test_a_run_that_cannot_be_valid_any_more_is_given_up() -> None:
    found = served(99.0, 1000, limit_ms=10.5, give_up=True)
    assert found.over_limit == max_requests_over_limit(1000) + 1
    assert found.requests < 1000
    assert not found.valid
    assert found.reason.startswith("stopped early: 3 of")


def test_a_rate_that_can_never_be_answered_ends_all_the_same() -> None:
    """Ten times what the machine does, for an hour: it stops after two seconds, invalid."""
    clock = VirtualClock()
    arrivals = poisson_arrivals(1000.0, 3_600_000, 0)
    found = serve([clock.working()], arrivals, 20.0, 1000.0, clock, longest_s=2.0)
    assert found.requests == pytest.approx(2.0 / SERVICE_S, abs=2)
    assert not found.valid
    assert "stopped early" in found.reason


def rate_that_keeps(limit_ms: float) -> float:
    """By theory: where the p99 of M/D/1 is the limit."""
    low, high = 0.0, 1 / SERVICE_S
    for _ in range(50):
        middle = (low + high) / 2
        keeps = 1e3 * (wait_of_md1(0.99, middle, SERVICE_S) + SERVICE_S) <= limit_ms
        low, high = (middle, high) if keeps else (low, middle)
    return low


def test_the_search_finds_the_rate_of_theory() -> None:
    """A little below it: a run is valid only where it leaves no doubt."""
    ends = iter(range(10**6, 0, -1))
    search = highest_rate(
        lambda rate, requests: served(rate, requests, limit_ms=40.0, give_up=True),
        lambda rate: 20_000,
        1 / SERVICE_S,
        lambda: float(next(ends)),
    )
    expected = rate_that_keeps(40.0)
    assert search.best.valid
    assert 0.88 * expected <= search.best.rate_per_s <= 1.02 * expected
    failed = [run.rate_per_s for run in search.trials if not run.valid]
    assert min(failed) > search.best.rate_per_s


@pytest.mark.parametrize("services", [10, 40, 80])
def test_a_run_is_long_enough_for_the_queue_to_build_up(services: int) -> None:
    """With a limit of many service times a short run at nearly full load would pass."""
    limit_ms = services * 1e3 * SERVICE_S
    requests = settling_requests(limit_ms, 1 / SERVICE_S, 10**6)
    search = highest_rate(
        lambda rate, requests: served(rate, requests, limit_ms, give_up=True),
        lambda rate: requests,
        1 / SERVICE_S,
        lambda: 1e9,
    )
    expected = rate_that_keeps(limit_ms)
    assert 0.85 * expected <= search.best.rate_per_s <= 1.03 * expected


def test_where_no_rate_keeps_the_limit_the_search_says_so_soon() -> None:
    search = highest_rate(
        lambda rate, requests: served(rate, requests, limit_ms=9.0, give_up=True),
        lambda rate: 1000,
        1 / SERVICE_S,
        lambda: 1e6,
    )
    assert not search.best.valid
    assert len(search.trials) <= 7
    assert search.best.rate_per_s == min(run.rate_per_s for run in search.trials)


def test_the_search_keeps_to_its_time() -> None:
    """Half the capacity, 50/s: five seconds are 250 requests, which prove nothing."""
    search = highest_rate(
        lambda rate, requests: served(rate, requests, limit_ms=40.0),
        lambda rate: 1000,
        1 / SERVICE_S,
        lambda: 5.0,
    )
    assert len(search.trials) == 1
    assert not search.best.valid
    assert "too few" in search.best.reason
