"""One function per scenario: measures the loaded artifact and returns its outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from db.models import Artifact
from engine.benchmark.interference import InterferenceMonitor
from engine.benchmark.loaded_model import LoadedModel
from engine.benchmark.measurement import Measurement, measure, warm_up
from engine.benchmark.metrics import (
    LATENCY_STATISTICS,
    Outcome,
    build_protocol,
    latency_figures,
    speed_figures,
    throughput_figures,
)
from engine.benchmark.scenarios.definitions import stages_text
from engine.benchmark.scenarios.end_to_end import FilePasses, readable_files
from engine.benchmark.scenarios.offline import PASS_S, OfflinePasses
from engine.benchmark.scenarios.rate_search import RateSearch, highest_rate, settling_requests
from engine.benchmark.scenarios.server import (
    MAX_OVERTIME_FACTOR,
    ServerRun,
    poisson_arrivals,
    serve,
)
from engine.benchmark.speedometer import SETTLE_S, Speedometer
from engine.benchmark.windows import Window, take_window
from engine.common.stats import max_exceedances
from engine.datasets.reader import open_index
from engine.datasets.registration import find_dataset
from engine.jobs.context import JobContext
from engine.specs import SEARCH_TIMES, BenchmarkSpec, Scenario
from engine.store import artifacts
from engine.store.protocols import RateTrial, ScenarioFacts

SINGLE_STREAM_SHARE = 0.1  # share of requests above the p90
SINGLE_STREAM_REQUESTS = 100
MAX_REQUESTS = 1_000_000
CAPACITY_FACTOR = 1.1  # the window that estimates the capacity may have been slow
MAX_TRIAL_SHARE = 1 / 6  # of the search time, for one run


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """What is measured: loaded sessions, spec, artifact, job context, interference monitor.

    `readings`: those of the speedometer, one before each window or run, in GFLOP/s.
    """

    loaded: LoadedModel
    spec: BenchmarkSpec
    artifact: Artifact
    context: JobContext
    monitor: InterferenceMonitor
    speedometer: Speedometer
    readings: list[float] = field(default_factory=list)

    def read_speed(self) -> None:
        """Takes a reading of the machine's own speed, once the threads of the runtime settled."""
        time.sleep(SETTLE_S)
        self.readings.append(self.speedometer.read())

    def after_reading(self, take: Callable[[float], Window]) -> Callable[[float], Window]:
        """`take`, with a reading before each window."""

        def take_after_reading(seconds: float) -> Window:
            self.read_speed()
            return take(seconds)

        return take_after_reading

    def progress(self, elapsed: float, message: str) -> None:
        """Reports the elapsed seconds out of the maximum duration."""
        total = max(round(self.spec.max_s), round(elapsed) + 1)
        self.context.progress(round(elapsed), total, "s max", message)


def single_stream(task: BenchmarkTask) -> Outcome:
    """MLPerf SingleStream: one image at a time; the metric is the p90 latency."""
    least = max(task.spec.least_samples, SINGLE_STREAM_REQUESTS)
    spec = task.spec.model_copy(update={"least_samples": least})
    take = task.after_reading(task.loaded.measure_window)
    measured = measure(take, spec, task.progress, task.monitor)
    figures = speed_figures(measured, task.artifact)
    latencies = np.concatenate([window.latencies_ms for window in measured.reported])
    facts = ScenarioFacts(
        name=str(Scenario.SINGLE_STREAM),
        p90_ms=figures["latency_p90_ms"],
        p90_estimate_ms=p90_estimate(latencies),
    )
    summary = f"p90 {figures['latency_p90_ms']:.2f} ms, {_summary(figures, measured)}"
    protocol = build_protocol(measured, spec, facts, task.readings)
    return Outcome(figures, protocol, measured.windows, summary)


def p90_estimate(latencies_ms: np.ndarray) -> float | None:
    """Early-stopping estimate of the p90 latency in ms, at 99 % confidence; None under 64 requests.

    As in MLPerf LoadGen: with t = `stats.max_exceedances` of n requests, the t-th highest latency
    is the estimate.
    """
    allowed = max_exceedances(latencies_ms.size, SINGLE_STREAM_SHARE)
    return float(np.sort(latencies_ms)[latencies_ms.size - allowed]) if allowed >= 1 else None


def offline(task: BenchmarkTask) -> Outcome:
    """MLPerf Offline: all samples are available at once; the metric is images/s."""
    passes = OfflinePasses(task.loaded.runners, task.spec.batch)
    spec = task.spec.model_copy(update={"window_s": max(PASS_S, task.spec.window_s)})
    measured = measure(task.after_reading(passes.take), spec, task.progress, task.monitor)
    figures = speed_figures(measured, task.artifact)
    figures |= {f"latency_{name}_ms": None for name in LATENCY_STATISTICS}
    facts = ScenarioFacts(
        name=str(Scenario.OFFLINE),
        samples_a_pass=[window.images for window in measured.reported],
    )
    protocol = build_protocol(measured, spec, facts, task.readings)
    return Outcome(figures, protocol, measured.windows, _summary(figures, measured))


def end_to_end(task: BenchmarkTask) -> Outcome:
    """Image files from reading to scores; the metric is the latency of the whole request."""
    spec, preprocess = task.spec, artifacts.preprocess_of(task.artifact)
    index = open_index(find_dataset(str(spec.dataset), task.context.url))
    files = readable_files(index, preprocess)
    passes = FilePasses(task.loaded.requests, files, preprocess, spec.batch)
    measured = measure(task.after_reading(passes.take), spec, task.progress, task.monitor)
    figures = speed_figures(measured, task.artifact)
    stages = passes.mean_stages_ms(len(measured.reported))
    facts = ScenarioFacts(
        name=str(Scenario.END_TO_END),
        dataset=index.name,
        dataset_digest=index.digest,
        files=len(files),
        stages_ms=stages,
    )
    protocol = build_protocol(measured, spec, facts, task.readings).model_copy(
        update={"input": f"{len(files)} image files of {index.name}"}
    )
    summary = f"{_summary(figures, measured)} Mean of a request: {stages_text(stages)}."
    return Outcome(figures, protocol, measured.windows, summary)


def server(task: BenchmarkTask) -> Outcome:
    """MLPerf Server: Poisson arrivals and a p99 limit, at a given rate or the highest valid one."""
    spec, runners = task.spec, task.loaded.runners
    limit_ms = float(spec.limit_ms or 0)
    begun = time.monotonic()
    warm_up_s = warm_up(task.loaded.measure_window, spec.tolerance)

    def trial(rate: float, requests: int, give_up: bool = True) -> ServerRun:
        task.context.stage(f"{requests:,} requests at {rate:,.1f}/s.")
        task.read_speed()
        arrivals = poisson_arrivals(rate, requests, spec.seed)
        longest_s = MAX_OVERTIME_FACTOR * max(spec.max_s, requests / rate)
        run = serve(runners, arrivals, limit_ms, rate, give_up=give_up, longest_s=longest_s)
        task.context.say(f"{rate:,.1f}/s is {'valid' if run.valid else 'invalid'}: {run.reason}.")
        return run

    with task.monitor:
        if spec.rate_per_s:
            requests = max(1, min(MAX_REQUESTS, int(spec.rate_per_s * spec.max_s)))
            run = trial(spec.rate_per_s, requests, give_up=False)
            search = RateSearch(run, (run,))
        else:
            search = _search(task, trial, limit_ms, begun)
    return _server_outcome(task, search.best, search.trials, warm_up_s)


def _search(
    task: BenchmarkTask, trial: Callable[[float, int], ServerRun], limit_ms: float, begun: float
) -> RateSearch:
    """The highest valid rate, between 0 and CAPACITY_FACTOR times the closed-loop throughput."""
    spec = task.spec
    fastest = take_window(task.loaded.runners, spec.batch, spec.window_s)
    capacity = CAPACITY_FACTOR * fastest.latencies_ms.size / fastest.elapsed_s
    budget_s = SEARCH_TIMES * spec.max_s
    return highest_rate(
        trial,
        lambda rate: settling_requests(limit_ms, capacity, int(rate * budget_s * MAX_TRIAL_SHARE)),
        capacity,
        lambda: begun + budget_s - time.monotonic(),
    )


def _server_outcome(
    task: BenchmarkTask, best: ServerRun, trials: tuple[ServerRun, ...], warm_up_s: float
) -> Outcome:
    spec = task.spec
    window = Window(best.elapsed_s, best.requests * spec.batch, best.latencies_ms)
    reason = best.reason
    if len(trials) > 1 and not best.valid:
        reason = f"no rate from {best.rate_per_s:,.1f} requests/s meets the limit; {reason}"
    facts = ScenarioFacts(
        name=str(Scenario.SERVER),
        asked_rate_per_s=spec.rate_per_s,
        rate_per_s=best.rate_per_s,
        limit_ms=best.limit_ms,
        seed=spec.seed,
        valid=best.valid,
        reason=reason,
        over=best.over_limit,
        tried=[
            RateTrial(rate_per_s=round(s.rate_per_s, 3), valid=s.valid, reason=s.reason)
            for s in trials
        ],
    )
    figures = {
        **throughput_figures(window.images_per_s, task.artifact),
        **latency_figures(best.latencies_ms),
        "stable": None,
    }
    single = Measurement((window,), True, warm_up_s, report_all=True)
    verdict = "valid" if best.valid else "invalid"
    summary = f"{best.rate_per_s:,.1f} requests/s {verdict}: {reason}."
    protocol = build_protocol(single, spec, facts, task.readings)
    return Outcome(figures, protocol, (window,), summary)


def _summary(figures: dict[str, Any], measured: Measurement) -> str:
    latency = figures["latency_p50_ms"]
    return (
        f"{figures['images_per_s']:,.1f} images/s"
        + (f", p50 {latency:.2f} ms" if latency is not None else "")
        + ("." if measured.stable else ": unstable, the windows did not agree.")
    )


MEASURERS: dict[Scenario, Callable[[BenchmarkTask], Outcome]] = {
    Scenario.SINGLE_STREAM: single_stream,
    Scenario.OFFLINE: offline,
    Scenario.SERVER: server,
    Scenario.END_TO_END: end_to_end,
}
