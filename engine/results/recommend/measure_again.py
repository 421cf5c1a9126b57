"""The session that measures unreliable speeds again, when the machine is quiet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from sqlalchemy import select

from db.enums import Precision
from db.models import Artifact, Benchmark
from db.session import reading
from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.errors import InvalidRequest
from engine.jobs.queue import NewJob
from engine.results.builds import MEASURED_HERE
from engine.results.recommend.decision import Recommendation
from engine.results.recommend.speed import Row, same_model
from engine.runs.compile import benchmark_job
from engine.runtimes.registry import RUNTIMES, name_in
from engine.specs import BenchmarkSpec
from engine.store.artifacts import is_stored
from engine.store.protocols import BenchmarkProtocol

QUIET_WAIT_S = 1800.0
MAX_BUILDS = 8
DEFAULT_MAX_S = 30.0


def rows_to_measure(found: Recommendation, points: pd.DataFrame) -> list[Row]:
    """The builds whose speed cannot decide, and fp32 of their models, so that both are paired.

    Only those that were measured here in a closed loop and still exist.
    """
    rows: list[Row] = []
    for row in found.unreliable[:MAX_BUILDS]:
        fp32 = points[same_model(points, row) & (points["precision"] == Precision.FP32)]
        fp32 = fp32[fp32["runtime"] == row["runtime"]]
        rows += [*fp32.head(1).to_dict("records"), row]
    by_benchmark = {row["benchmark_id"]: row for row in rows if _can_run(row)}
    return list(by_benchmark.values())


def _can_run(row: Row) -> bool:
    return (
        row["origin"] == MEASURED_HERE
        and row["scenario"] == CLOSED_LOOP
        and name_in(str(row["runtime"])) in RUNTIMES
        and is_stored(row["artifact_digest"])
    )


def quiet_session(rows: Sequence[Row], url: str, quiet_wait_s: float = QUIET_WAIT_S) -> NewJob:
    """One job that waits for a quiet machine and measures these rows under their own conditions.

    Raises InvalidRequest where none of them can be measured here.
    """
    ids = [int(row["benchmark_id"]) for row in rows]
    with reading(url) as session:
        found = session.scalars(select(Benchmark).where(Benchmark.id.in_(ids))).all()
        digests = [row.artifact_digest for row in found]
        artifacts = session.scalars(select(Artifact).where(Artifact.digest.in_(digests))).all()
    by_id = {row.id: row for row in found if row.artifact_digest is not None}
    specs = [_spec(by_id[number]) for number in ids if number in by_id]
    if not specs:
        raise InvalidRequest(
            "None of these speeds can be measured again on this machine: they were imported, or "
            "their builds were deleted."
        )
    models = ", ".join(dict.fromkeys(artifact.model_id for artifact in artifacts))
    job = benchmark_job(specs, quiet_wait_s=quiet_wait_s)
    return replace(job, title=f"Benchmark {models} when the machine is quiet")


def _spec(row: Benchmark) -> BenchmarkSpec:
    """The conditions of a stored benchmark, for its own build."""
    max_s = BenchmarkProtocol.from_row(row).max_s or DEFAULT_MAX_S
    return BenchmarkSpec(
        artifact=row.artifact_digest,
        batch=row.batch,
        threads=row.threads,
        instances=row.instances,
        processes=BenchmarkProtocol.from_row(row).processes,
        provider=row.provider,
        runtime=name_in(row.runtime),
        max_s=max_s,
    )
