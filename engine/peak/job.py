"""The peak job: every kernel on every number of threads asked for, alone on the machine."""

from __future__ import annotations

import time
from typing import Any

from engine.benchmark.interference import Watch
from engine.common import environment
from engine.errors import BenchmarkFailed
from engine.jobs.context import JobContext
from engine.peak.kernels import all_kernels
from engine.peak.measurement import arrangements, measure
from engine.peak.records import Speed, keep
from engine.specs import PeakSpec


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: measures and keeps the peaks beside the environment they belong to."""
    spec = PeakSpec.model_validate(params)
    digest = environment.record(environment.observe_machine(), context.url)
    with Watch(time.process_time) as watch:
        speeds = _measure_all(spec, context)
    noise = watch.seen().reasons()
    keep(digest, speeds, noise, context.url)
    best = _best_of(speeds, max(spec.threads))
    told = ", ".join(f"{precision} {value:,.0f} GMAC/s" for precision, value in best.items())
    context.say(
        f"Peak with {max(spec.threads)} threads: {told}."
        + (f" Noisy: {'; '.join(noise)}." if noise else "")
    )
    return {"environment": digest, "threads": list(spec.threads), "gmacs_per_s": best}


def _measure_all(spec: PeakSpec, context: JobContext) -> list[Speed]:
    kernels = all_kernels()
    plan = [
        (kernel, threads, sessions)
        for threads in spec.threads
        for kernel in kernels
        for sessions in arrangements(threads)
    ]
    context.stage(f"Measuring {len(kernels)} matrix products.")
    speeds = []
    for number, (kernel, threads, sessions) in enumerate(plan, 1):
        try:
            speed = measure(kernel, threads, sessions)
        except Exception as error:
            # Not every machine has a kernel for each; the others still give a peak.
            reason = (str(error) or type(error).__name__).splitlines()[0]
            context.say(f"{kernel.name} cannot be run here: {reason}")
            continue
        speeds.append(speed)
        context.progress(
            number, len(plan), "products", f"{kernel.name}: {speed.best_gmacs_per_s:,.0f} GMAC/s"
        )
    if not speeds:
        raise BenchmarkFailed("No matrix product could be run in ONNX Runtime; see the log.")
    return speeds


def _best_of(speeds: list[Speed], threads: int) -> dict[str, float]:
    best: dict[str, float] = {}
    for speed in speeds:
        if speed.threads == threads:
            known = best.get(speed.precision, 0.0)
            best[speed.precision] = max(known, speed.best_gmacs_per_s)
    return best
