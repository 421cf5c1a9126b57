"""Speed of one artifact, measured in a process that does nothing else.

Warm-up until two short windows agree, then windows until the last three agree within the
tolerance or the time is up (then the result is marked unstable). Figures are taken over those
last three windows; the interval of the throughput is the range of their single values.
Cores that other processes kept busy meanwhile are recorded: much of that spoils a benchmark.
Latency is the wall time of one request of `batch` images, with `instances` requests in flight
in each of `processes` processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import psutil

from db.session import writing
from db.tables import Artifact, Benchmark
from engine import artifacts, environment
from engine.benchmark_team import Member, Team
from engine.benchmark_windows import Runners, Window, take_window
from engine.config import settings
from engine.files import save_arrays
from engine.jobs.context import JobContext
from engine.resolve import artifact_of
from engine.runtimes.onnx_runtime import OnnxRuntime
from engine.specs import BenchmarkSpec
from engine.stats import latency_percentiles
from engine.usage import peak_rss_mb

AGREEING_WINDOWS = 3
WARM_UP_WINDOW_S = 0.25
WARM_UP_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class Measured:
    """All windows after warm-up; `stable` says that the last three agree."""

    windows: tuple[Window, ...]
    stable: bool
    warm_up_s: float
    other_busy_cores: float
    whole: bool = False

    @property
    def reported(self) -> tuple[Window, ...]:
        """The windows that the figures are taken over: all of them where a count was asked for."""
        return self.windows if self.whole else self.windows[-AGREEING_WINDOWS:]


def measure(
    runners: Runners,
    batch: int,
    spec: BenchmarkSpec,
    progress: Callable[[float, str], None],
    team: Team | None = None,
) -> Measured:
    """Runs all runners at once, each in its own thread, until throughput is stable.

    A `team` of processes takes the place of the runners.
    """
    take = team.window if team else partial(take_window, runners, batch)
    cpu_s = team.cpu_s if team else time.process_time
    started = time.monotonic()
    _warm_up(take, spec.tolerance)
    warm_up_s = time.monotonic() - started
    windows: list[Window] = []
    begun, busy, own = time.monotonic(), _busy_s(), cpu_s()
    while True:
        windows.append(take(spec.window_s))
        elapsed = time.monotonic() - begun
        progress(elapsed, f"{windows[-1].images_per_s:,.1f} images/s")
        stable = _agree(windows[-AGREEING_WINDOWS:], AGREEING_WINDOWS, spec.tolerance)
        done = sum(window.images for window in windows) >= spec.least_samples * spec.processes
        if (stable and done) or (elapsed >= spec.max_s and len(windows) >= AGREEING_WINDOWS):
            elapsed = time.monotonic() - begun
            others = (_busy_s() - busy - (cpu_s() - own)) / elapsed
            whole = spec.least_samples > 0
            return Measured(tuple(windows), stable, warm_up_s, max(0.0, others), whole)


def _busy_s() -> float:
    """Seconds that all cores together have spent working, for whomever."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0) - getattr(times, "guest", 0))


def _warm_up(take: Callable[[float], Window], tolerance: float) -> None:
    windows: list[Window] = []
    until = time.monotonic() + WARM_UP_MAX_S
    while time.monotonic() < until and not _agree(windows[-2:], 2, tolerance):
        windows.append(take(WARM_UP_WINDOW_S))


def _agree(windows: list[Window], count: int, tolerance: float) -> bool:
    rates = [window.images_per_s for window in windows]
    return len(rates) == count and max(rates) <= min(rates) * (1 + tolerance)


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: measures, stores the raw latencies and the result row."""
    spec = BenchmarkSpec.model_validate(params)
    artifact = artifact_of(spec, context.url)
    surroundings = environment.observe()
    threads = spec.threads or max(1, settings().threads // (spec.instances * spec.processes))
    context.stage(f"Loading {artifact.model_id} {artifact.precision} on {spec.provider}.")
    side = artifacts.preprocess_of(artifact).crop
    members = [
        Member(
            path=artifacts.model_path(artifact.digest),
            provider=spec.provider,
            threads=threads,
            instances=spec.instances,
            shape=(spec.batch, 3, side, side),
            seed=number,
        )
        for number in range(spec.processes)
    ]
    measured, start = _MEASURERS[spec.processes > 1](members, spec, context)
    speeds = _figures(measured, artifact)
    latencies = _keep(measured, f"{context.job_id}.{context.attempt}")
    row = Benchmark(
        job_id=context.job_id,
        artifact_digest=artifact.digest,
        environment_digest=environment.record(surroundings, context.url),
        runtime=f"{OnnxRuntime.name} {OnnxRuntime.version}",
        provider=spec.provider,
        batch=spec.batch,
        threads=threads,
        instances=spec.instances,
        load_ms=start.load_ms,
        first_inference_ms=start.first_ms,
        peak_rss_mb=start.peak_rss_mb,
        stable=measured.stable,
        other_busy_cores=measured.other_busy_cores,
        latencies_path=latencies,
        protocol=_protocol(measured, spec, surroundings.load_1min),
        **speeds,
    )
    with writing(context.url) as session:
        session.add(row)
    context.say(
        f"{row.images_per_s:,.1f} images/s, p50 {row.latency_p50_ms:.2f} ms"
        + ("." if row.stable else ": unstable, windows did not agree.")
    )
    return {"benchmark": row.id, "images_per_s": row.images_per_s, "stable": row.stable}


@dataclass(frozen=True, slots=True)
class Start:
    """What came before the first window, and the most memory of all processes together."""

    load_ms: float
    first_ms: float
    peak_rss_mb: float


def _alone(
    members: list[Member], spec: BenchmarkSpec, context: JobContext
) -> tuple[Measured, Start]:
    member = members[0]
    begun = time.perf_counter()
    sessions = [
        OnnxRuntime(member.path, member.provider, member.threads) for _ in range(member.instances)
    ]
    load_ms = (time.perf_counter() - begun) * 1e3 / member.instances
    batch = np.random.default_rng(member.seed).standard_normal(member.shape).astype(np.float32)
    begun = time.perf_counter()
    sessions[0].run(batch)
    first_ms = (time.perf_counter() - begun) * 1e3
    runners = [partial(session.run, batch) for session in sessions]
    measured = _observed(runners, spec, context, member.threads)
    return measured, Start(load_ms, first_ms, peak_rss_mb())


def _as_team(
    members: list[Member], spec: BenchmarkSpec, context: JobContext
) -> tuple[Measured, Start]:
    with Team(members) as team:
        measured = _observed([], spec, context, members[0].threads, team)
        return measured, Start(team.load_ms, team.first_ms, team.peak_rss_mb)


_MEASURERS = {False: _alone, True: _as_team}


def _observed(
    runners: Runners,
    spec: BenchmarkSpec,
    context: JobContext,
    threads: int,
    team: Team | None = None,
) -> Measured:
    processes = f" in {spec.processes} processes" if team else ""
    context.stage(f"Measuring at batch {spec.batch}, {threads} threads{processes}.")
    return measure(
        runners,
        spec.batch,
        spec,
        lambda elapsed, message: context.progress(
            round(elapsed), max(round(spec.max_s), round(elapsed) + 1), "s at most", message
        ),
        team,
    )


def _figures(measured: Measured, artifact: Artifact) -> dict[str, Any]:
    windows = measured.reported
    rates = [window.images_per_s for window in windows]
    rate = sum(w.images for w in windows) / sum(w.elapsed_s for w in windows)
    latencies = np.concatenate([window.latencies_ms for window in windows])
    percentiles = latency_percentiles(latencies)
    gmacs = (artifact.manifest.get("compute") or {}).get("gmacs")
    return {
        "images_per_s": rate,
        "images_per_s_low": min(rates),
        "images_per_s_high": max(rates),
        "samples": int(latencies.size),
        "achieved_gmacs_per_s": gmacs * rate if gmacs else None,
        **{
            f"latency_{name}_ms": percentiles[name] for name in ("mean", "p50", "p90", "p95", "p99")
        },
    }


def _keep(measured: Measured, name: str) -> str:
    """Writes every latency with the number of its window; returns the path under home."""
    path = settings().folder("results") / f"latencies-{name}.npz"
    numbers = [np.full(w.latencies_ms.size, i) for i, w in enumerate(measured.windows)]
    save_arrays(
        path,
        latency_ms=np.concatenate([w.latencies_ms for w in measured.windows]).astype(np.float32),
        window=np.concatenate(numbers).astype(np.int16),
    )
    return str(path.relative_to(settings().home))


def _protocol(measured: Measured, spec: BenchmarkSpec, load_1min: float) -> dict[str, Any]:
    return {
        "warm_up_s": round(measured.warm_up_s, 3),
        "window_s": spec.window_s,
        "windows": len(measured.windows),
        "reported_windows": len(measured.reported),
        "tolerance": spec.tolerance,
        "max_s": spec.max_s,
        "window_images_per_s": [round(w.images_per_s, 3) for w in measured.windows],
        "load_1min_before": load_1min,
        "processes": spec.processes,
        "input": "standard normal float32, made before the clock starts",
    }
