"""What disturbs a measurement is seen, named and said; what does not is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from engine.benchmark.interference import (
    InterferenceMonitor,
    Sample,
    busiest_processes,
    clock_mhz,
    summarize,
)


def sample(at_s: float, busy: float, own: float, mhz: float | None = 2000.0) -> Sample:
    return Sample(at_s, busy, own, 0.0, mhz, 0.5)


def test_others_are_what_is_busy_without_the_benchmark() -> None:
    seen = summarize([sample(0, 100, 10), sample(1, 102, 11.5), sample(2, 104, 13.5)])
    assert seen.other_busy_cores == pytest.approx((4 - 3.5) / 2)
    assert seen.max_other_busy_cores == pytest.approx(0.5)
    assert seen.reasons() == (), "a quarter of a core is still quiet"


def test_a_busy_neighbor_is_named() -> None:
    seen = summarize([sample(0, 0, 0), sample(2, 5.2, 4.0)], (("chromium", 0.55), ("cron", 0.04)))
    assert seen.reasons() == ("other processes used 0.60 cores (chromium 0.55, cron 0.04)",)


def test_a_moving_clock_is_a_reason_and_an_untold_one_is_not() -> None:
    moving = summarize([sample(0, 0, 0, 2000), sample(1, 1, 1, 1700), sample(2, 2, 2, 2000)])
    assert moving.reasons() == ("the CPU clock changed by 15 % (1,700 to 2,000 MHz)",)
    steady = summarize([sample(0, 0, 0, 2000), sample(1, 1, 1, 1900)])
    assert steady.reasons() == ()
    untold = summarize([sample(0, 0, 0, None), sample(1, 1, 1, None)])
    assert untold.reasons() == ()
    assert untold.to_document().mhz is None


def test_time_taken_by_the_hypervisor_is_told_apart() -> None:
    first, last = Sample(0, 0, 0, 0, None, 0), Sample(1, 2.0, 1.0, 0.5, None, 0)
    assert summarize([first, last]).reasons() == (
        "other processes used 1.00 cores, 0.50 of them stolen by the hypervisor",
    )


def test_work_is_summed_by_name_and_a_reused_number_is_another_process() -> None:
    before = {1: ("a", 5.0), 2: ("b", 1.0), 3: ("gone", 9.0), 4: ("old", 3.0)}
    after = {1: ("a", 6.0), 2: ("b", 1.0), 5: ("a", 0.5), 4: ("new", 0.2)}
    assert busiest_processes(before, after, 2.0) == (("a", 0.75), ("new", 0.1))


@pytest.mark.serial
def test_a_real_neighbor_is_seen_and_the_watchers_own_work_is_not() -> None:
    spin = "import time\nend = time.time() + 30\nwhile time.time() < end: pass"
    neighbor = subprocess.Popen([sys.executable, "-c", spin])
    try:
        with InterferenceMonitor(time.process_time, every_s=0.1) as watch:
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                pass
    finally:
        neighbor.kill()
        neighbor.wait()
    seen = watch.summary()
    assert seen.samples >= 4
    assert seen.monitor_cores < 0.2
    if (os.cpu_count() or 1) > 1:
        assert seen.other_busy_cores > 0.3
        assert any("other processes used" in reason for reason in seen.reasons())


def test_the_clock_is_a_number_of_mhz_or_untold() -> None:
    found = clock_mhz()
    assert found is None or 100 < found < 10_000
