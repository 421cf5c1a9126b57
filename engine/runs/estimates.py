"""How long the benchmarks of a run will take, and how many of them are there already."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from sqlalchemy import select

from db.enums import JobKind, JobStatus
from db.models import Job
from db.session import reading
from engine.benchmark.measurement import AGREEING_WINDOWS, WARM_UP_MAX_S, WARM_UP_WINDOW_S
from engine.benchmark.reuse import measured_settings
from engine.benchmark.scenarios.server import MAX_OVERTIME_FACTOR
from engine.build.lookup import recipe_of
from engine.common import environment
from engine.config import settings
from engine.errors import WorkbenchError
from engine.jobs.estimates import format_duration
from engine.jobs.results import JobResult
from engine.runs.compile import benchmark_spec, build_spec
from engine.runs.request import RunRequest, Task, is_sweep, points_of
from engine.runs.submit import with_dataset_classes, with_file_digest
from engine.specs import SEARCH_TIMES, WINDOW_S, Scenario
from engine.store import artifacts

START_S = 2.0  # of a process that loads a model
LAST = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long the benchmarks of a run take.

    `points` of all builds together, of which `measured_before` are there already; `seconds` by
    what such points took lately (`from_history`) or at the least, and at the very most.
    """

    points: int
    measured_before: int
    seconds: float
    most_s: float
    from_history: bool

    def sentence(self) -> str:
        """`16 points, about 1 min 30 s (as such points took lately), at most 9 min.`"""
        if self.measured_before == self.points:
            return f"All {self.points} points were measured before; none is again unless asked for."
        basis = "as such points took lately" if self.from_history else "at the least"
        before = (
            f"; {self.measured_before} were measured before and are not measured again"
            if self.measured_before
            else ""
        )
        points = f"{self.points} point{'' if self.points == 1 else 's'}"
        return (
            f"{points}, about {format_duration(self.seconds)} ({basis}), "
            f"at most {format_duration(self.most_s)}{before}."
        )


def estimate(request: RunRequest, url: str) -> Estimate | None:
    """Before anything runs, from the windows of the protocol and from what points took before.

    None where nothing is benchmarked.
    """
    if Task.BENCHMARK not in request.tasks:
        return None
    total = len(points_of(request)) * len(request.precisions)
    if not total:
        return None
    before = _measured_before(request, url) if is_sweep(request) and not request.again else 0
    lately = _usual_seconds(request, url)
    least = START_S + 2 * WARM_UP_WINDOW_S + AGREEING_WINDOWS * WINDOW_S
    longest = request.benchmark_max_s
    if request.scenario == Scenario.SERVER:
        least = START_S + longest
        longest *= MAX_OVERTIME_FACTOR if request.rate_per_s else SEARCH_TIMES
    most = START_S + WARM_UP_MAX_S + longest + WINDOW_S
    each = min(lately if lately is not None else least, most)
    left = total - before
    return Estimate(total, before, left * each, left * most, lately is not None)


def _measured_before(request: RunRequest, url: str) -> int:
    count, cores = 0, settings().threads
    machine = environment.observe_machine().digest
    request = with_dataset_classes(with_file_digest(request), url)
    for precision in request.precisions:
        build = build_spec(request, precision)
        try:
            artifact = artifacts.find_by_recipe(recipe_of(build, url), url)
        except WorkbenchError:  # its calibration set is not there yet
            continue
        known = measured_settings(artifact.digest, machine, url) if artifact else {}
        for point in points_of(request):
            setting = benchmark_spec(request, point, build=build).setting()
            count += (setting, point.threads_on(cores)) in known
    return count


def _usual_seconds(request: RunRequest, url: str) -> float | None:
    """Median time of the last points that were really measured in this scenario, if any were."""
    statement = (
        select(Job.ended_at - Job.started_at, Job.params, Job.result)
        .where(Job.kind == JobKind.BENCHMARK, Job.status == JobStatus.SUCCEEDED)
        .order_by(Job.id.desc())
        .limit(LAST * 4)
    )
    with reading(url) as session:
        rows = session.execute(statement).all()
    times = [
        seconds
        for seconds, params, result in rows
        if seconds is not None
        and not JobResult.from_stored(result).reused
        and params.get("scenario", Scenario.CLOSED_LOOP) == request.scenario
    ]
    return float(median(times[:LAST])) if times else None
