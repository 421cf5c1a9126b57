"""The peak job: measures every kernel at every requested thread count, as an exclusive job."""

from __future__ import annotations

import time
from typing import Any

from engine.benchmark.interference import InterferenceMonitor
from engine.benchmark.machine_state import observe_state, state_sentence
from engine.benchmark.speedometer import SETTLE_S, Speedometer
from engine.common import environment
from engine.errors import BenchmarkFailed
from engine.jobs.context import JobContext
from engine.peak.kernels import Kernel, all_kernels
from engine.peak.measurement import measure, session_counts
from engine.peak.records import Speed, save_peaks
from engine.runtimes.registry import label_of
from engine.specs import PeakSpec


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: measures the peaks and stores them with their environment."""
    spec = PeakSpec.model_validate(params)
    digest = environment.record(environment.observe_machine(), context.url)
    with Speedometer() as speedometer:
        speeds, readings, reasons = _measure_all(spec, context, speedometer)
    state = state_sentence(observe_state(readings), "GFLOP/s")
    interference = (*reasons, *filter(None, [state]))
    save_peaks(digest, speeds, interference, context.url)
    best = _best_gmacs_per_s(speeds, max(spec.threads))
    summary = ", ".join(f"{precision} {value:,.0f} GMAC/s" for precision, value in best.items())
    context.say(
        f"Peak with {max(spec.threads)} threads: {summary}."
        + (f" Interference: {'; '.join(interference)}." if interference else "")
    )
    return {"environment": digest, "threads": list(spec.threads), "gmacs_per_s": best}


def _measure_all(
    spec: PeakSpec, context: JobContext, speedometer: Speedometer
) -> tuple[list[Speed], list[float], list[str]]:
    """The speed of every kernel, a reading of the machine's own speed before each, interference.

    It pauses while other jobs are live; what they do meanwhile is no interference.
    """
    kernels = all_kernels(spec.runtime)
    plan = [
        (kernel, threads, sessions)
        for threads in spec.threads
        for kernel in kernels
        for sessions in session_counts(threads)
    ]
    context.stage(f"Measuring {len(kernels)} matrix products.")
    speeds: list[Speed] = []
    readings: list[float] = []
    reasons: list[str] = []
    number = 0
    while number < len(plan):
        with InterferenceMonitor(lambda: time.process_time() + speedometer.cpu_time_s()) as monitor:
            while number < len(plan) and not context.others_wait():
                kernel, threads, sessions = plan[number]
                number += 1
                time.sleep(SETTLE_S)
                readings.append(speedometer.read())
                speed = _measure_one(kernel, threads, sessions, spec.runtime, context)
                if speed is not None:
                    speeds.append(speed)
                    text = f"{kernel.name}: {speed.best_gmacs_per_s:,.0f} GMAC/s"
                    context.progress(number, len(plan), "products", text)
        reasons += monitor.summary().reasons()
        if number < len(plan):
            context.step_aside()
    if not speeds:
        raise BenchmarkFailed(
            f"No matrix product runs in {label_of(spec.runtime)} on this machine: see the log."
        )
    return speeds, readings, list(dict.fromkeys(reasons))


def _measure_one(
    kernel: Kernel, threads: int, sessions: int, runtime: str, context: JobContext
) -> Speed | None:
    """The speed of one kernel; None, with the reason in the log, where it does not run."""
    try:
        return measure(kernel, threads, sessions, runtime)
    except Exception as error:
        # Not every machine has a kernel for each product; the others still give a peak.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        context.say(f"{kernel.name} does not run on this machine: {reason}")
        return None


def _best_gmacs_per_s(speeds: list[Speed], threads: int) -> dict[str, float]:
    best: dict[str, float] = {}
    for speed in speeds:
        if speed.threads == threads:
            previous = best.get(speed.precision, 0.0)
            best[speed.precision] = max(previous, speed.best_gmacs_per_s)
    return best
