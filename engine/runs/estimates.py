"""Estimated duration of the benchmarks of a run, and how many have cached results."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from sqlalchemy import select

from db.enums import JobKind, JobStatus
from db.models import Job
from db.session import reading
from engine.benchmark.measurement import WARM_UP_MAX_S
from engine.benchmark.reuse import measured_settings, setting_of
from engine.benchmark.scenarios.server import MAX_OVERTIME_FACTOR
from engine.benchmark.session import MIN_ROUNDS
from engine.build.lookup import recipe_of
from engine.common import environment
from engine.config import settings
from engine.errors import WorkbenchError
from engine.jobs.results import JobResult
from engine.runs.cells import cells_of
from engine.runs.comparison import comparison_of
from engine.runs.compile import benchmark_spec, build_spec
from engine.runs.identified import with_dataset_classes, with_file_digest
from engine.runs.request import RunRequest, Task, benchmark_points, is_sweep
from engine.specs import SEARCH_TIMES, WINDOW_S, Scenario
from engine.store import artifacts
from engine.text import duration, plural

START_S = 2.0  # start of a process and loading of a model
BETWEEN_WINDOWS_S = 0.25  # fresh process, uncounted requests, pause, reading of the speedometer
SAMPLE_JOBS = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """Duration of the benchmarks of a run.

    `points` is the number of benchmarks of all builds, of which `cached` have a cached result.
    `expected_s` is by recent benchmarks of the scenario (`from_history`), else the minimum; `max_s`
    is the maximum.
    """

    points: int
    cached: int
    expected_s: float
    max_s: float
    from_history: bool

    def __add__(self, other: Estimate) -> Estimate:
        """Both, one after the other."""
        return Estimate(
            self.points + other.points,
            self.cached + other.cached,
            self.expected_s + other.expected_s,
            self.max_s + other.max_s,
            self.from_history and other.from_history,
        )

    def sentence(self) -> str:
        """`16 benchmarks, about 1 min 30 s (median of recent ones), max 9 min 0 s.`"""
        count = plural(self.points, "benchmark")
        if self.cached == self.points:
            return f"{count}, all with cached results: none is measured again."
        expected = duration(self.expected_s)
        basis = (
            f"about {expected} (median of recent ones)" if self.from_history else f"≥ {expected}"
        )
        cached = f"; {self.cached} cached results are reused" if self.cached else ""
        return f"{count}, {basis}, max {duration(self.max_s)}{cached}."


def estimate(request: RunRequest, url: str) -> Estimate | None:
    """The estimate, from the benchmark protocol and earlier benchmarks; None without benchmarks.

    The comparison with fp32 is part of it. Of several models, it is of all of them.
    """
    total: Estimate | None = None
    for one in request.for_each_model():
        found = _estimate_of_model(one, url)
        if found is not None:
            total = found if total is None else total + found
    return total


def _estimate_of_model(request: RunRequest, url: str) -> Estimate | None:
    """The estimate of a request of one model; None without benchmarks."""
    cells = cells_of(request)
    requested = Task.BENCHMARK in request.tasks
    own = len(benchmark_points(request)) * len(cells.possible) if requested else 0
    comparison = comparison_of(request, cells)
    if comparison is None:
        return _estimate(request, own, url) if own else None
    if comparison.joined:
        return _estimate(request, own + len(set(comparison.cells) - set(cells.possible)), url)
    closed_loop = request.model_copy(
        update={"scenario": Scenario.CLOSED_LOOP, "batches": (1,), "threads": (0,),
                "instances": (1,)}
    )  # fmt: skip
    added = _estimate(closed_loop, len(comparison.cells), url)
    return _estimate(request, own, url) + added if own else added


def _estimate(request: RunRequest, total: int, url: str) -> Estimate:
    """The estimate of `total` benchmarks under the conditions of a request."""
    cached = _count_cached(request, url) if is_sweep(request) and not request.again else 0
    median_s = _median_duration_s(request, url)
    min_s = START_S + MIN_ROUNDS * (WINDOW_S + BETWEEN_WINDOWS_S)
    measuring_s = request.benchmark_max_s
    if request.scenario == Scenario.SERVER:
        min_s = START_S + measuring_s
        measuring_s *= MAX_OVERTIME_FACTOR if request.rate_per_s else SEARCH_TIMES
    max_s = START_S + WARM_UP_MAX_S + measuring_s + WINDOW_S
    each_s = min(median_s if median_s is not None else min_s, max_s)
    remaining = total - cached
    return Estimate(
        total, cached, remaining * each_s, remaining * max_s, from_history=median_s is not None
    )


def _count_cached(request: RunRequest, url: str) -> int:
    count, cores = 0, settings().threads
    machine = environment.observe_machine().digest
    request = with_dataset_classes(with_file_digest(request), url)
    cells = cells_of(request)
    for precision in cells.precisions:
        build = build_spec(request, precision)
        try:
            artifact = artifacts.find_by_recipe(recipe_of(build, url), url)
        except WorkbenchError:  # the calibration dataset is not registered yet
            continue
        measured = measured_settings(artifact.digest, machine, url) if artifact else {}
        for point in benchmark_points(request):
            for runtime in cells.runtimes_of(precision):
                setting = setting_of(benchmark_spec(request, point, runtime, build=build))
                count += (setting, point.threads_per_request(cores)) in measured
    return count


def _median_duration_s(request: RunRequest, url: str) -> float | None:
    """Median duration of recent benchmarks of the scenario, without reused ones; None if none.

    A session counts by its mean: its duration over the number of its benchmarks.
    """
    statement = (
        select(Job.ended_at - Job.started_at, Job.params, Job.result)
        .where(Job.kind == JobKind.BENCHMARK, Job.status == JobStatus.SUCCEEDED)
        .order_by(Job.id.desc())
        .limit(SAMPLE_JOBS * 4)
    )
    with reading(url) as session:
        rows = session.execute(statement).all()
    sessions = [
        (seconds, params.get("benchmarks") or [params])  # one benchmark before there were sessions
        for seconds, params, result in rows
        if seconds is not None and not JobResult.from_stored(result).reused
    ]
    times = [
        seconds / len(benchmarks)
        for seconds, benchmarks in sessions
        if benchmarks[0].get("scenario", Scenario.CLOSED_LOOP) == request.scenario
    ]
    return float(median(times[:SAMPLE_JOBS])) if times else None
