"""`benchmark`: one setting, a sweep over several, or a scenario of MLPerf Inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.benchmark.sweep import (
    BestOperatingPoint,
    Percentile,
    build_name,
    find_best_operating_point,
    setting_label,
)
from engine.cli import option_groups as g
from engine.cli import options as o
from engine.cli.follow import queue_jobs, queue_run
from engine.cli.option_groups import expand_groups
from engine.cli.output import emit_table, note
from engine.cli.parsing import is_digest, possible_runtimes
from engine.config import settings
from engine.datasets.registration import find_dataset
from engine.errors import InvalidRequest
from engine.runs.compile import benchmark_job, benchmark_spec
from engine.runs.estimates import estimate
from engine.runs.request import RunRequest, Task, benchmark_points, is_sweep
from engine.runs.validation import point_warnings, scenario_problems
from engine.specs import CPU_PROVIDER, Scenario
from engine.store import artifacts
from engine.store.database import prepare_database

if TYPE_CHECKING:
    import pandas as pd

LatencyPercentile = Annotated[
    Percentile,
    typer.Option(
        "--latency-percentile",
        help="Percentile that --max-latency limits when the best operating point is chosen.",
    ),
]


@expand_groups
def benchmark(
    target: o.Target,
    *,
    builds: g.BuildOptions,
    calibration_dataset: o.CalibrationDataset = None,
    dataset: o.FilesDataset = None,
    conditions: g.BenchmarkOptions,
    runtime: o.Runtimes = None,
    provider: o.Provider = CPU_PROVIDER,
    scenario: o.ScenarioName = Scenario.CLOSED_LOOP,
    max_latency: o.MaxLatency = None,
    latency_percentile: LatencyPercentile = Percentile.P90,
    arrival_rate: o.ArrivalRate = None,
    arrival_seed: o.ArrivalSeed = 0,
    outputs: g.OutputOptions,
    detach: o.Detach = False,
    json: o.Json = False,
) -> int:
    """Measures latency and throughput, for one setting or for a sweep over several.

    No other job runs on the machine meanwhile. Latency is in ms per request, throughput in
    images/s. With several batch sizes, threads or concurrencies every combination is measured, and
    the best operating point is named: the highest throughput, within --max-latency if it is
    given. A stopped sweep continues when the same command is given again.

    Example: `python -m engine benchmark timm/seresnet50 --weights random -p fp32 -b 1,2,4,8
    -i 1,2 --max-latency 200`

    Example: `python -m engine benchmark timm/seresnet50 --scenario end-to-end --dataset photos`
    """
    if dataset is not None and scenario != Scenario.END_TO_END:
        raise InvalidRequest(
            f"--dataset names the files of scenario {Scenario.END_TO_END}: add --scenario "
            f"{Scenario.END_TO_END}, or leave it out."
        )
    closed_loop = scenario == Scenario.CLOSED_LOOP
    request = RunRequest(
        model_id=target,
        **builds.request_fields(runtime),
        tasks=(Task.BENCHMARK,),
        calibration_dataset=calibration_dataset,
        dataset=dataset if scenario == Scenario.END_TO_END else None,
        **conditions.request_fields(),
        provider=provider,
        scenario=scenario,
        rate_per_s=arrival_rate,
        limit_ms=None if closed_loop else max_latency,
        arrivals_seed=arrival_seed,
        **outputs.request_fields(),
    )
    wants_summary = closed_loop and (is_sweep(request) or max_latency is not None)
    summary = _SweepSummary(latency_percentile, max_latency, json) if wants_summary else None
    if is_digest(target):
        return _benchmark_artifact(request, detach, json, summary)
    duration = estimate(request, prepare_database())
    if duration is not None:
        note(duration.sentence())
    return queue_run(request, detach, json, summary, says_duration=False)


def _benchmark_artifact(
    request: RunRequest, detach: bool, json: bool, summary: _SweepSummary | None
) -> int:
    artifact = artifacts.find_by_digest(request.model_id, prepare_database())
    runtimes = possible_runtimes(request.runtimes, artifact, request.provider)
    problems = list(scenario_problems(request))
    if problems:
        raise InvalidRequest(" ".join(problems))
    if request.measures_files:
        find_dataset(str(request.dataset), settings().url)
    for warning in point_warnings(request):
        note(f"Note: {warning}")
    specs = [
        benchmark_spec(request, point, runtime, artifact=artifact.digest)
        for runtime in runtimes
        for point in benchmark_points(request)
    ]
    sessions = [specs] if request.scenario == Scenario.CLOSED_LOOP else [[spec] for spec in specs]
    return queue_jobs([benchmark_job(session) for session in sessions], detach, json, summary)


class _SweepSummary:
    """The end of a sweep: its best operating point and its Pareto front."""

    def __init__(self, percentile: Percentile, limit_ms: float | None, json: bool) -> None:
        self._percentile, self._limit_ms, self._json = percentile, limit_ms, json

    def __call__(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Prints the summary (without --json), and returns it for the JSON document."""
        best = find_best_operating_point(rows, self._percentile, self._limit_ms)
        if not self._json:
            _show_pareto_front(best)
            note(best.sentence())
        return {"sweet_spot": best.to_json()}


def _show_pareto_front(best: BestOperatingPoint) -> None:
    if best.pareto_front.empty:
        return
    rows = [
        (build_name(row), setting_label(row), row["images_per_s"],
         row[best.percentile.column], row["noise"])
        for row in best.pareto_front.to_dict("records")
    ]  # fmt: skip
    header = ("build", "setting", "images/s", f"{best.percentile} (ms)", "interference")
    emit_table(
        "Pareto front: highest images/s at each latency",
        header,
        rows,
    )
