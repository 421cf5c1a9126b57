"""Speed of one artifact, measured in a process that does nothing else.

Warm-up until two short windows agree, then windows until the last three agree within the
tolerance or the time is up (then the result is marked unstable). Figures are taken over those
last three windows; the interval of the throughput is the range of their single values.
Cores that other processes kept busy meanwhile are recorded: much of that spoils a benchmark.
Latency is the wall time of one request of `batch` images, with `instances` requests in flight.
"""

from __future__ import annotations

import threading
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
LEAST_REQUESTS = 10


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of measuring: seconds it lasted, images done, latency of each request in ms."""

    elapsed_s: float
    images: int
    latencies_ms: np.ndarray

    @property
    def images_per_s(self) -> float:
        """Throughput of this window."""
        return self.images / self.elapsed_s


@dataclass(frozen=True, slots=True)
class Measured:
    """All windows after warm-up; `stable` says that the last three agree."""

    windows: tuple[Window, ...]
    stable: bool
    warm_up_s: float
    other_busy_cores: float

    @property
    def reported(self) -> tuple[Window, ...]:
        """The windows that the figures are taken over."""
        return self.windows[-AGREEING_WINDOWS:]


def measure(
    runners: list[Callable[[], object]],
    batch: int,
    spec: BenchmarkSpec,
    progress: Callable[[float, str], None],
) -> Measured:
    """Runs all runners at once, each in its own thread, until throughput is stable."""
    started = time.monotonic()
    _warm_up(runners, batch, spec.tolerance)
    warm_up_s = time.monotonic() - started
    windows: list[Window] = []
    begun, busy, own = time.monotonic(), _busy_s(), time.process_time()
    while True:
        windows.append(_window(runners, batch, spec.window_s))
        elapsed = time.monotonic() - begun
        progress(elapsed, f"{windows[-1].images_per_s:,.1f} images/s")
        stable = _agree(windows[-AGREEING_WINDOWS:], AGREEING_WINDOWS, spec.tolerance)
        if stable or (elapsed >= spec.max_s and len(windows) >= AGREEING_WINDOWS):
            elapsed = time.monotonic() - begun
            others = (_busy_s() - busy - (time.process_time() - own)) / elapsed
            return Measured(tuple(windows), stable, warm_up_s, max(0.0, others))


def _busy_s() -> float:
    """Seconds that all cores together have spent working, for whomever."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0) - getattr(times, "guest", 0))


def _warm_up(runners: list[Callable[[], object]], batch: int, tolerance: float) -> None:
    windows: list[Window] = []
    until = time.monotonic() + WARM_UP_MAX_S
    while time.monotonic() < until and not _agree(windows[-2:], 2, tolerance):
        windows.append(_window(runners, batch, WARM_UP_WINDOW_S))


def _agree(windows: list[Window], count: int, tolerance: float) -> bool:
    rates = [window.images_per_s for window in windows]
    return len(rates) == count and max(rates) <= min(rates) * (1 + tolerance)


def _window(runners: list[Callable[[], object]], batch: int, seconds: float) -> Window:
    latencies: list[list[float]] = [[] for _ in runners]
    least = -(-LEAST_REQUESTS // len(runners))
    started = time.perf_counter()

    def loop(runner: Callable[[], object], own: list[float]) -> None:
        before = time.perf_counter()
        while before - started < seconds or len(own) < least:
            runner()
            after = time.perf_counter()
            own.append((after - before) * 1e3)
            before = after

    others = [
        threading.Thread(target=loop, args=pair)
        for pair in zip(runners[1:], latencies[1:], strict=True)
    ]
    for thread in others:
        thread.start()
    loop(runners[0], latencies[0])
    for thread in others:
        thread.join()
    elapsed = time.perf_counter() - started
    merged = np.concatenate([np.asarray(own) for own in latencies])
    return Window(elapsed, merged.size * batch, merged)


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: measures, stores the raw latencies and the result row."""
    spec = BenchmarkSpec.model_validate(params)
    artifact = artifact_of(spec, context.url)
    surroundings = environment.observe()
    threads = spec.threads or max(1, settings().threads // spec.instances)
    context.stage(f"Loading {artifact.model_id} {artifact.precision} on {spec.provider}.")
    path = artifacts.model_path(artifact.digest)
    begun = time.perf_counter()
    sessions = [OnnxRuntime(path, spec.provider, threads) for _ in range(spec.instances)]
    load_ms = (time.perf_counter() - begun) * 1e3 / spec.instances
    side = artifacts.preprocess_of(artifact).crop
    images = np.random.default_rng(0).standard_normal((spec.batch, 3, side, side))
    batch = images.astype(np.float32)
    begun = time.perf_counter()
    sessions[0].run(batch)
    first_ms = (time.perf_counter() - begun) * 1e3

    context.stage(f"Measuring at batch {spec.batch}, {threads} threads.")
    measured = measure(
        [partial(session.run, batch) for session in sessions],
        spec.batch,
        spec,
        lambda elapsed, message: context.progress(
            round(elapsed), max(round(spec.max_s), round(elapsed) + 1), "s at most", message
        ),
    )
    speeds = _figures(measured, artifact)
    latencies = _keep(measured, f"{context.job_id}.{context.attempt}")
    row = Benchmark(
        job_id=context.job_id,
        artifact_digest=artifact.digest,
        environment_digest=environment.record(surroundings, context.url),
        runtime=f"{OnnxRuntime.name} {OnnxRuntime.version}",
        provider=sessions[0].provider,
        batch=spec.batch,
        threads=threads,
        instances=spec.instances,
        load_ms=load_ms,
        first_inference_ms=first_ms,
        peak_rss_mb=peak_rss_mb(),
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
        "input": "standard normal float32, made before the clock starts",
    }
