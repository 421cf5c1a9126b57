"""What benchmarks found: speeds, how they were measured, and how far to trust them."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sqlalchemy import Select, func, select

from db.models import Benchmark, Environment
from engine.benchmark.interference import MAX_OTHER_CORES
from engine.benchmark.placement import nodes_on_other_providers
from engine.benchmark.scenarios.definitions import scenario_label, verdict_text
from engine.errors import InvalidRequest
from engine.peak.shares import add_peak_shares
from engine.results.columns import COLUMNS
from engine.results.reading import newest, read_frame
from engine.specs.comparability import SAME_CONDITIONS
from engine.store.protocols import ScenarioFacts


def all_benchmarks(url: str, builds: pd.DataFrame) -> pd.DataFrame:
    """One row a benchmark, times in ms, with its share of the machine's peak (%)."""
    return add_peak_shares(_with_protocol(read_frame(url, _benchmarks())), builds, url)


def newest_benchmarks(url: str, builds: pd.DataFrame) -> pd.DataFrame:
    """The newest of each build, machine, provider, setting and scenario."""
    return newest(all_benchmarks(url, builds), SAME_CONDITIONS, "benchmarked_at")


def _benchmarks() -> Select:
    figures = [
        column
        for column in Benchmark.__table__.columns
        if column.name in COLUMNS and column.name != "artifact_digest"
    ]
    return select(
        Benchmark.protocol["processes"].label("processes"),
        Benchmark.protocol["scenario"].label("scenario"),
        Benchmark.protocol["noise"].label("noise"),
        Benchmark.protocol["nodes"].label("elsewhere"),
        Benchmark.id.label("benchmark_id"),
        Benchmark.created_at.label("benchmarked_at"),
        func.coalesce(Benchmark.artifact_digest, Benchmark.imported_digest).label(
            "artifact_digest"
        ),
        Environment.label.label("environment"),
        *figures,
    ).join(Environment, Environment.digest == Benchmark.environment_digest)


def _with_protocol(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds to the figures what the protocol says: processes, scenario, verdict, noise, nodes."""
    # Before there was a choice there was one process.
    frame["processes"] = frame["processes"].fillna(1).astype(int)
    told = [_scenario(*pair) for pair in zip(frame["scenario"], frame["benchmark_id"], strict=True)]
    frame["scenario"] = [scenario_label(found) for found in told]
    frame["verdict"] = [verdict_text(found) for found in told]
    frame["valid"] = pd.Series(
        [None if found is None else found.valid for found in told], index=frame.index, dtype=object
    )
    busy = frame["other_busy_cores"]
    frame["noise"] = [_noise(*pair) for pair in zip(frame["noise"], busy, strict=True)]
    pairs = zip(frame["elsewhere"], frame["provider"], strict=True)
    frame["elsewhere"] = [nodes_on_other_providers(*pair) for pair in pairs]
    return frame


def _scenario(found: Any, benchmark_id: int) -> ScenarioFacts | None:
    if not isinstance(found, dict):
        return None
    return ScenarioFacts.read(found, f"The protocol of benchmark {benchmark_id}", InvalidRequest)


def _noise(reasons: Any, other_busy_cores: float | None) -> str | None:
    """Why a benchmark is noisy; before reasons were kept, the work of others alone said it."""
    if isinstance(reasons, list):
        return "; ".join(reasons) or None
    if (
        other_busy_cores is None or not other_busy_cores > MAX_OTHER_CORES
    ):  # missing: not known to be
        return None
    return f"other processes used {other_busy_cores:.2f} cores"
