"""Work in several threads at once: what fails in one of them fails the measurement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from engine.benchmark.scenarios.offline import take_pass
from engine.benchmark.scenarios.server import serve
from engine.benchmark.windows import Runners, run_in_threads, take_window

MEASURES: dict[str, Callable[[Runners], object]] = {
    "window": lambda runners: take_window(runners, 1, 0.02),
    "pass": lambda runners: take_pass(runners, 1, 8),
    "server": lambda runners: serve(runners, np.linspace(0.001, 0.02, 8), 50.0, 400.0),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("place", [0, 1])
def test_an_instance_that_fails_fails_the_measurement(
    measure: Callable[[Runners], object], place: int
) -> None:
    failing = threading.Event()

    def fails() -> None:
        failing.set()
        raise MemoryError("no room for another request")

    def works() -> None:
        failing.wait(1)  # else it could do everything before the other has begun

    runners = [works, works]
    runners[place] = fails
    with pytest.raises(MemoryError, match="no room"):
        measure(runners)


def test_after_a_failure_no_more_requests_are_waited_for() -> None:
    def fails() -> None:
        raise MemoryError("no room for another request")

    begun = time.monotonic()
    with pytest.raises(MemoryError):
        serve([lambda: None, fails], np.linspace(0.01, 60, 600), 50.0, 10.0)
    assert time.monotonic() - begun < 5


def test_every_item_is_worked_on_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=5)
    done: list[str] = []

    def work(item: str) -> None:
        together.wait()
        done.append(item)

    run_in_threads(work, "abc")
    assert sorted(done) == ["a", "b", "c"]
