"""Benchmarks as a table: speed, benchmark protocol, stability and interference."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sqlalchemy import Select, func, select

from db.models import Benchmark, Environment, Host, Job
from engine.benchmark.interference import MAX_OTHER_CORES
from engine.benchmark.machine_state import state_sentence
from engine.benchmark.placement import nodes_on_other_providers, placement_text
from engine.benchmark.scenarios.definitions import scenario_label, verdict_text
from engine.errors import InvalidRequest
from engine.peak.shares import add_peak_shares
from engine.results.columns import COLUMNS
from engine.results.faster import with_not_faster
from engine.results.reading import by_runtime, host_of_job, newest_rows, read_frame
from engine.specs.comparability import SAME_SETTING
from engine.store.protocols import MachineState, ScenarioFacts


def all_benchmarks(url: str, builds: pd.DataFrame) -> pd.DataFrame:
    """One row per benchmark: times in ms, and the share of the machine's peak in %."""
    frame = _with_protocol(read_frame(url, _benchmarks()))
    return add_peak_shares(with_not_faster(frame, builds), builds, url)


def newest_benchmarks(url: str, builds: pd.DataFrame) -> pd.DataFrame:
    """The newest benchmark of each build in each runtime under each SAME_SETTING."""
    frame = all_benchmarks(url, builds)
    frame = frame.assign(executed_by=by_runtime(frame))
    return newest_rows(frame, (*SAME_SETTING, "executed_by", "host"), "benchmarked_at")


def _benchmarks() -> Select:
    measured_columns = [
        column
        for column in Benchmark.__table__.columns
        if column.name in COLUMNS and column.name != "artifact_digest"
    ]
    return (
        select(
            Benchmark.protocol["processes"].label("processes"),
            Benchmark.protocol["scenario"].label("scenario"),
            Benchmark.protocol["noise"].label("noise"),
            Benchmark.protocol["nodes"].label("elsewhere"),
            Benchmark.protocol["session"].label("session"),
            Benchmark.protocol["machine"].label("machine_state"),
            Benchmark.protocol["speed_up"].label("speed_up"),
            Benchmark.id.label("benchmark_id"),
            Benchmark.created_at.label("benchmarked_at"),
            func.coalesce(Benchmark.artifact_digest, Benchmark.imported_digest).label(
                "artifact_digest"
            ),
            Environment.label.label("environment"),
            host_of_job(),
            *measured_columns,
        )
        .join(Environment, Environment.digest == Benchmark.environment_digest)
        .outerjoin(Job, Job.id == Benchmark.job_id)
        .outerjoin(Host, Host.identity == Job.home)
    )


def _with_protocol(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds columns of the protocol: processes, scenario, verdict, interference, placement."""
    # Protocols of earlier versions do not state it: they always ran one process.
    frame["processes"] = frame["processes"].fillna(1).astype(int)
    scenarios = [
        _scenario(*pair) for pair in zip(frame["scenario"], frame["benchmark_id"], strict=True)
    ]
    frame["scenario"] = [scenario_label(scenario) for scenario in scenarios]
    frame["verdict"] = [verdict_text(scenario) for scenario in scenarios]
    valid = [None if scenario is None else scenario.valid for scenario in scenarios]
    frame["valid"] = pd.Series(valid, index=frame.index, dtype=object)
    busy_cores = frame["other_busy_cores"]
    frame["noise"] = [_interference(*row) for row in zip(frame["noise"], busy_cores, strict=True)]
    frame["placement"] = [placement_text(nodes) for nodes in frame["elsewhere"]]
    frame["machine_state"] = [_state(stored) for stored in frame["machine_state"]]
    speed_ups = [stored if isinstance(stored, dict) else {} for stored in frame["speed_up"]]
    for column, key in SPEED_UP_KEYS.items():
        frame[column] = pd.Series([one.get(key) for one in speed_ups], frame.index, dtype=float)
    placements = zip(frame["elsewhere"], frame["provider"], strict=True)
    frame["elsewhere"] = [nodes_on_other_providers(*placement) for placement in placements]
    return frame


SPEED_UP_KEYS = {
    "speed_up": "ratio",
    "speed_up_low": "low",
    "speed_up_high": "high",
    "speed_up_p": "p_value",
}
"""Columns of the speed-up, by their keys in the protocol."""


def _state(stored: Any) -> str | None:
    """How the machine behaved during a session; None for one speed."""
    return state_sentence(MachineState.model_validate(stored)) if stored else None


def _scenario(stored: Any, benchmark_id: int) -> ScenarioFacts | None:
    if not isinstance(stored, dict):
        return None
    return ScenarioFacts.read(stored, f"The protocol of benchmark {benchmark_id}", InvalidRequest)


def _interference(reasons: Any, other_busy_cores: float | None) -> str | None:
    """Interference during a benchmark; None: no interference.

    Benchmarks of earlier versions store no reasons: for them, the load of other processes decides.
    """
    if isinstance(reasons, list):
        return "; ".join(reasons) or None
    if other_busy_cores is None or not other_busy_cores > MAX_OTHER_CORES:
        return None
    return f"other processes used {other_busy_cores:.2f} cores"
