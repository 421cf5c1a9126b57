"""`benchmark`: one setting, a sweep of many, or a scenario of MLPerf Inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.benchmark.sweep import Percentile, SweetSpot, find_sweet_spot, setting_of
from engine.cli import option_groups as g
from engine.cli import options as o
from engine.cli.follow import queue_jobs, queue_run
from engine.cli.option_grouping import grouped
from engine.cli.output import emit_table, note
from engine.cli.parsing import is_digest
from engine.errors import InvalidRequest
from engine.runs.compile import benchmark_job, benchmark_spec
from engine.runs.estimates import estimate
from engine.runs.request import RunRequest, Task, benchmark_points, is_sweep
from engine.runs.validation import point_warnings, scenario_problems
from engine.runtimes.registry import require
from engine.specs import CPU_PROVIDER, DEFAULT_RUNTIME, Scenario
from engine.store import artifacts
from engine.store.database import prepare_database

if TYPE_CHECKING:
    import pandas as pd

APercentile = Annotated[
    Percentile, typer.Option(help="Which latency the limit of the sweet spot is on.")
]


@grouped
def benchmark(
    target: o.Target,
    *,
    builds: g.Builds,
    calibrate_on: o.CalibrationSet = None,
    points: g.Points,
    runtime: o.Runtime = DEFAULT_RUNTIME,
    provider: o.Provider = CPU_PROVIDER,
    scenario: o.AScenario = Scenario.CLOSED_LOOP,
    latency_limit: o.LatencyLimit = None,
    percentile: APercentile = Percentile.P90,
    rate: o.Rate = None,
    arrivals_seed: o.ArrivalsSeed = 0,
    outputs: g.Outputs,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Measures speed, alone on the machine: one setting, or every combination of several.

    Of several it names the sweet spot: the most images/s, under a limit on the latency if one is
    given. A sweep that was stopped goes on where it was when the command is given again.

    Example: `python -m engine benchmark timm/seresnet50 --weights random -p fp32 -b 1,2,4,8
    -i 1,2 --latency-limit 200`
    """
    closed_loop = scenario == Scenario.CLOSED_LOOP
    request = RunRequest(
        model_id=target,
        **builds.asked(),
        tasks=(Task.BENCHMARK,),
        calibration_dataset=calibrate_on,
        **points.asked(),
        runtime=runtime,
        provider=provider,
        scenario=scenario,
        rate_per_s=rate,
        limit_ms=None if closed_loop else latency_limit,
        arrivals_seed=arrivals_seed,
        **outputs.asked(),
    )
    wants_spot = closed_loop and (is_sweep(request) or latency_limit is not None)
    conclude = _Conclusion(percentile, latency_limit, json) if wants_spot else None
    if is_digest(target):
        return _of_artifact(request, detach, json, conclude)
    expected = estimate(request, prepare_database())
    if expected is not None:
        note(expected.sentence())
    return queue_run(request, detach, json, conclude)


def _of_artifact(
    request: RunRequest, detach: bool, json: bool, conclude: _Conclusion | None
) -> int:
    artifact = artifacts.find_by_digest(request.model_id, prepare_database())
    require(request.runtime, artifact.precision)
    problems = list(scenario_problems(request))
    if problems:
        raise InvalidRequest(" ".join(problems))
    for warning in point_warnings(request):
        note(f"Note: {warning}")
    specs = [
        benchmark_spec(request, point, artifact=artifact.digest)
        for point in benchmark_points(request)
    ]
    return queue_jobs([benchmark_job(spec) for spec in specs], detach, json, conclude)


class _Conclusion:
    """What is said after a sweep: the sweet spot, and what else is on the frontier."""

    def __init__(self, percentile: Percentile, limit_ms: float | None, json: bool) -> None:
        self._percentile, self._limit_ms, self._json = percentile, limit_ms, json

    def __call__(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Says it on the terminal, and returns it for a document."""
        found = find_sweet_spot(rows, self._percentile, self._limit_ms)
        if not self._json:
            _show_frontier(found)
            note(found.sentence())
        return {"sweet_spot": found.to_json()}


def _show_frontier(found: SweetSpot) -> None:
    if found.pareto_front.empty:
        return
    rows = [
        (f"{row['model_id']} {row['precision']}", setting_of(row), row["images_per_s"],
         row[found.percentile.column], row["noise"])
        for row in found.pareto_front.to_dict("records")
    ]  # fmt: skip
    header = ("build", "setting", "images/s", f"{found.percentile} ms", "noisy because")
    emit_table("Frontier: nothing else does more images/s at no more latency", header, rows)
