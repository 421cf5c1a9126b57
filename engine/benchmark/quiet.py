"""Waiting for a quiet machine before a measurement, bounded in time; what disturbs is named."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.benchmark.interference import (
    MAX_OTHER_CORES,
    Sample,
    busiest_processes,
    process_table,
    summarize,
    take_sample,
)
from engine.errors import BenchmarkFailed
from engine.jobs.context import JobContext
from engine.text import duration

INTERVAL_S = 2.0
QUIET_S = 6.0
"""The machine must be quiet for so long."""


def wait_until_quiet(
    max_s: float,
    context: JobContext,
    *,
    sample: Callable[[], Sample] = lambda: take_sample(time.process_time),
    processes: Callable[[], dict[int, tuple[str, float]]] = lambda: process_table(),
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Returns when other processes have used little of the machine for QUIET_S.

    While it waits, other jobs may use the machine; it is taken again before the return.

    Raises BenchmarkFailed after `max_s`, with what still disturbs. A cancelled job is stopped by
    its supervisor, as at any other time.
    """
    context.stage(f"Waiting until the machine is quiet, for up to {duration(max_s)}.")
    context.release_machine()
    last, before = sample(), processes()
    begun, quiet_since = last.at_s, last.at_s
    while True:
        sleep(INTERVAL_S)
        now, after = sample(), processes()
        busiest = busiest_processes(before, after, now.at_s - last.at_s)
        seen = summarize([last, now], busiest)
        last, before = now, after
        disturbed = seen.other_busy_cores > MAX_OTHER_CORES
        if disturbed:
            quiet_since = now.at_s
        quiet = now.at_s - quiet_since >= QUIET_S
        if quiet and context.take_machine():
            context.say(f"The machine is quiet after {duration(now.at_s - begun)}.")
            return
        busy = "another job has the machine" if quiet else "quiet"
        waited = now.at_s - begun
        what = "; ".join(seen.reasons()) if disturbed else busy
        if waited >= max_s:
            raise BenchmarkFailed(
                f"The machine was not quiet within {duration(max_s)}: {what}. Nothing was "
                "measured; end the other work and measure again."
            )
        context.progress(round(waited), round(max_s), "s max", f"Waiting for quiet: {what}.")
