"""One function a scenario: measures what is loaded, and says what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from db.models import Artifact
from engine.benchmark.interference import Watch
from engine.benchmark.loaded_model import Alone
from engine.benchmark.measurement import Measured, measure, warm_up
from engine.benchmark.metrics import (
    LATENCIES,
    Outcome,
    latency_figures,
    protocol_of,
    speed_figures,
    throughput_figures,
)
from engine.benchmark.processes import Team
from engine.benchmark.scenarios.offline import PASS_S, Offline
from engine.benchmark.scenarios.rate_search import Search, highest_rate, settling_requests
from engine.benchmark.scenarios.server import OVERTIME, Served, poisson_arrivals, serve
from engine.benchmark.windows import Window, take_window
from engine.common.stats import most_over
from engine.jobs.context import JobContext
from engine.specs import SEARCH_TIMES, BenchmarkSpec, Scenario
from engine.store.protocols import RateTrial, ScenarioFacts

SINGLE_STREAM_SHARE = 0.1  # may be over the p90
SINGLE_STREAM_REQUESTS = 100
MOST_REQUESTS = 1_000_000
HEADROOM = 1.1  # a single window may have been a slow one
SHARE_OF_SEARCH = 1 / 6  # that one run of a search may take


@dataclass(frozen=True, slots=True)
class Task:
    """What is measured: the sessions, the request, its artifact, the job, and who watches."""

    loaded: Alone | Team
    spec: BenchmarkSpec
    artifact: Artifact
    context: JobContext
    watch: Watch

    def progress(self, elapsed: float, message: str) -> None:
        """The seconds so far, of those that it may take at most."""
        most = self.spec.max_s
        total = max(round(most), round(elapsed) + 1)
        self.context.progress(round(elapsed), total, "s at most", message)


def closed_loop(task: Task) -> Outcome:
    """Each request follows the last at once."""
    measured = measure(task.loaded.window, task.spec, task.progress, task.watch)
    figures = speed_figures(measured, task.artifact)
    return Outcome(
        figures, protocol_of(measured, task.spec), measured.windows, _said(figures, measured)
    )


def single_stream(task: Task) -> Outcome:
    """MLPerf's SingleStream: one image at a time; the figure is the p90 of latency."""
    least = max(task.spec.least_samples, SINGLE_STREAM_REQUESTS)
    spec = task.spec.model_copy(update={"least_samples": least})
    measured = measure(task.loaded.window, spec, task.progress, task.watch)
    figures = speed_figures(measured, task.artifact)
    latencies = np.concatenate([window.latencies_ms for window in measured.reported])
    told = ScenarioFacts(
        name=str(Scenario.SINGLE_STREAM),
        p90_ms=figures["latency_p90_ms"],
        p90_estimate_ms=p90_estimate(latencies),
    )
    said = f"p90 {figures['latency_p90_ms']:.2f} ms, {_said(figures, measured)}"
    return Outcome(figures, protocol_of(measured, spec, told), measured.windows, said)


def p90_estimate(latencies_ms: np.ndarray) -> float | None:
    """A latency that at most a tenth of all requests exceed, with 99 % confidence; None under 64.

    As MLPerf's LoadGen does it: of n requests the t highest but one are set aside, where t is the
    most that may be over (`stats.most_over`); what is then the highest is the estimate.
    """
    most = most_over(latencies_ms.size, SINGLE_STREAM_SHARE)
    return float(np.sort(latencies_ms)[latencies_ms.size - most]) if most >= 1 else None


def offline(task: Task) -> Outcome:
    """MLPerf's Offline: all samples at once; the figure is images/s."""
    passes = Offline(task.loaded.runners, task.spec.batch)
    spec = task.spec.model_copy(update={"window_s": max(PASS_S, task.spec.window_s)})
    measured = measure(passes.take, spec, task.progress, task.watch)
    figures = speed_figures(measured, task.artifact)
    figures |= {f"latency_{name}_ms": None for name in LATENCIES}
    told = ScenarioFacts(
        name=str(Scenario.OFFLINE),
        samples_a_pass=[window.images for window in measured.reported],
    )
    protocol = protocol_of(measured, spec, told)
    return Outcome(figures, protocol, measured.windows, _said(figures, measured))


def server(task: Task) -> Outcome:
    """MLPerf's Server: Poisson arrivals, and a limit on the p99, at a rate or at the highest."""
    spec, runners = task.spec, task.loaded.runners
    limit_ms = float(spec.limit_ms or 0)
    begun = time.monotonic()
    warm_up_s = warm_up(task.loaded.window, spec.tolerance)

    def trial(rate: float, requests: int, give_up: bool = True) -> Served:
        task.context.stage(f"{requests:,} requests at {rate:,.1f}/s.")
        arrivals = poisson_arrivals(rate, requests, spec.seed)
        longest_s = OVERTIME * max(spec.max_s, requests / rate)
        found = serve(runners, arrivals, limit_ms, rate, give_up=give_up, longest_s=longest_s)
        task.context.say(
            f"{rate:,.1f}/s is {'valid' if found.valid else 'invalid'}: {found.reason}."
        )
        return found

    with task.watch:
        if spec.rate_per_s:
            requests = max(1, min(MOST_REQUESTS, int(spec.rate_per_s * spec.max_s)))
            found = trial(spec.rate_per_s, requests, give_up=False)
            search = Search(found, (found,))
        else:
            search = _search(task, trial, limit_ms, begun)
    return _served(task, search.best, search.tried, warm_up_s)


def _search(
    task: Task, trial: Callable[[float, int], Served], limit_ms: float, begun: float
) -> Search:
    """The highest rate, between nothing and what a closed loop does in a window."""
    spec = task.spec
    fastest = take_window(task.loaded.runners, spec.batch, spec.window_s)
    capacity = HEADROOM * fastest.latencies_ms.size / fastest.elapsed_s
    budget_s = SEARCH_TIMES * spec.max_s
    return highest_rate(
        trial,
        lambda rate: settling_requests(limit_ms, capacity, int(rate * budget_s * SHARE_OF_SEARCH)),
        capacity,
        lambda: begun + budget_s - time.monotonic(),
    )


def _served(task: Task, best: Served, tried: tuple[Served, ...], warm_up_s: float) -> Outcome:
    spec = task.spec
    window = Window(best.elapsed_s, best.requests * spec.batch, best.latencies_ms)
    reason = best.reason
    if len(tried) > 1 and not best.valid:
        reason = f"no rate down to {best.rate_per_s:,.1f} requests/s kept the limit; {reason}"
    told = ScenarioFacts(
        name=str(Scenario.SERVER),
        asked_rate_per_s=spec.rate_per_s,
        rate_per_s=best.rate_per_s,
        limit_ms=best.limit_ms,
        seed=spec.seed,
        valid=best.valid,
        reason=reason,
        over=best.over,
        tried=[
            RateTrial(rate_per_s=round(s.rate_per_s, 3), valid=s.valid, reason=s.reason)
            for s in tried
        ],
    )
    figures = {
        **throughput_figures(window.images_per_s, task.artifact),
        **latency_figures(best.latencies_ms),
        "stable": None,
    }
    single = Measured((window,), True, warm_up_s, whole=True)
    verdict = "valid" if best.valid else "invalid"
    said = f"{best.rate_per_s:,.1f} requests/s {verdict}: {reason}."
    return Outcome(figures, protocol_of(single, spec, told), (window,), said)


def _said(figures: dict[str, Any], measured: Measured) -> str:
    latency = figures["latency_p50_ms"]
    return (
        f"{figures['images_per_s']:,.1f} images/s"
        + (f", p50 {latency:.2f} ms" if latency is not None else "")
        + ("." if measured.stable else ": unstable, windows did not agree.")
    )


MEASURERS: dict[Scenario, Callable[[Task], Outcome]] = {
    Scenario.CLOSED_LOOP: closed_loop,
    Scenario.SINGLE_STREAM: single_stream,
    Scenario.OFFLINE: offline,
    Scenario.SERVER: server,
}
