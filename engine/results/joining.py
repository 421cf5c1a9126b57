"""The results table: the join of builds, evaluations and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from db.enums import Precision
from engine.build.fp16.execution import NATIVE
from engine.results.benchmarks import all_benchmarks, newest_benchmarks
from engine.results.builds import MEASURED_HERE, all_builds
from engine.results.columns import STORED
from engine.results.evaluations import all_evaluations, newest_evaluations
from engine.results.reading import with_ran_in
from engine.specs import CPU_PROVIDER


@dataclass(frozen=True, slots=True)
class ResultTables:
    """The three tables before the join: one row per build, per evaluation, per benchmark."""

    builds: pd.DataFrame
    evaluations: pd.DataFrame
    benchmarks: pd.DataFrame


def results_frame(url: str, *, hidden: bool = False) -> pd.DataFrame:
    """One row per result, columns as in STORED; accuracies in percent, times in ms, sizes in MB.

    `hidden`: also of builds that a user has hidden.
    """
    return join_results(result_tables(url, hidden=hidden))


def results_of_measurements(
    url: str, artifacts: Iterable[str], evaluations: Iterable[int], benchmarks: Iterable[int]
) -> pd.DataFrame:
    """The rows of given measurements, and of given artifacts that were not measured.

    Includes measurements that newer ones have replaced in the results table.
    """
    builds = all_builds(url)
    evaluated = all_evaluations(url)
    benchmarked = all_benchmarks(url, builds)
    evaluated = evaluated[evaluated["evaluation_id"].isin(list(evaluations))]
    benchmarked = benchmarked[benchmarked["benchmark_id"].isin(list(benchmarks))]
    digests = {*artifacts, *evaluated["artifact_digest"], *benchmarked["artifact_digest"]}
    selected = builds[builds["artifact_digest"].isin(digests)]
    return join_results(ResultTables(selected, evaluated, benchmarked))


def result_tables(url: str, *, hidden: bool = False) -> ResultTables:
    """All builds, with the newest evaluation and the newest benchmark of each kind.

    `hidden`: also the builds that a user has hidden.
    """
    builds = all_builds(url)
    tables = ResultTables(builds, newest_evaluations(url), newest_benchmarks(url, builds))
    left_out = set(builds.loc[builds["hidden"].fillna(False).astype(bool), "artifact_digest"])
    if hidden or not left_out:
        return tables
    shown = (
        frame[~frame["artifact_digest"].isin(left_out)]
        for frame in (tables.builds, tables.evaluations, tables.benchmarks)
    )
    return ResultTables(*shown)


def join_results(tables: ResultTables) -> pd.DataFrame:
    """Joins each build's evaluations with its benchmarks in the same runtime, the newest first.

    Columns as in COLUMNS. The rows of a build are the product of both: filter evaluations and
    benchmarks before the join.
    """
    builds = tables.builds
    if builds.empty:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in STORED})
    made_here = builds.loc[builds["origin"] == MEASURED_HERE, "artifact_digest"]
    evaluations, benchmarks = (
        with_ran_in(frame, frame["artifact_digest"].isin(made_here))
        for frame in (tables.evaluations, tables.benchmarks)
    )
    measured = evaluations.merge(
        benchmarks,
        on=["artifact_digest", "ran_in"],
        how="outer",
        suffixes=("", "_benchmark"),
    )
    frame = builds.merge(measured, on="artifact_digest", how="left")
    frame["runtime"] = frame["runtime_benchmark"].fillna(frame["runtime"])
    benchmarked = frame["placement_benchmark"].astype(object)
    frame["placement"] = benchmarked.where(benchmarked.notna(), frame["placement"].astype(object))
    frame["environment"] = frame["environment_benchmark"].fillna(frame["environment"])
    frame["host"] = frame["host_benchmark"].fillna(frame["host"])
    frame["environment_digest"] = frame["environment_digest_benchmark"].fillna(
        frame["environment_digest"]
    )
    frame["execution"] = _execution(frame)
    newest = frame[["evaluated_at", "benchmarked_at"]].max(axis=1).fillna(frame["built_at"])
    frame["measured_at"] = pd.to_datetime(newest, unit="s", utc=True)
    frame = frame.sort_values("measured_at", ascending=False, kind="stable")
    return frame.reindex(columns=list(STORED)).reset_index(drop=True)


def _execution(frame: pd.DataFrame) -> pd.Series:
    """Execution as the build recorded it for its CPU; accelerators run fp16 natively."""
    accelerator = frame["provider"].notna() & (frame["provider"] != CPU_PROVIDER)
    fp16 = frame["precision"] == Precision.FP16
    return frame["execution"].where(~(accelerator & fp16), NATIVE)
