"""Results with their provenance, as one JSON document that can be sent."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.base import Base
from db.models import Artifact, Benchmark, Dataset, Environment, Evaluation, Weights
from db.session import reading
from engine.common.untrusted import as_json
from engine.results.columns import PROVENANCE_KEYS, export_header_of
from engine.results.formats import to_records

FORMAT = "senet-workbench results 1"
_LOCAL = {"root", "per_image_path", "latencies_path", "job_id"}  # paths and job ids of this machine
QUERY_CHUNK = 500  # values in one SQL IN list


def with_provenance(frame: pd.DataFrame, shown: list[str], url: str) -> str:
    """JSON of the columns `shown` of `frame`, with the database rows that each result refers to.

    A result names its artifact, evaluation, benchmark and machine; each of these is written once.
    """
    columns = [name for name in dict.fromkeys([*shown, *PROVENANCE_KEYS]) if name in frame]
    with reading(url) as session:
        artifacts = _rows(session, Artifact, "digest", frame["artifact_digest"])
        evaluations = _rows(session, Evaluation, "id", frame["evaluation_id"])
        benchmarks = _rows(session, Benchmark, "id", frame["benchmark_id"])
        measured = [*evaluations.values(), *benchmarks.values()]
        machines = {row["environment_digest"] for row in measured}
        datasets = {row["dataset_digest"] for row in evaluations.values()}
        document = {
            "format": FORMAT,
            "written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "columns": {name: export_header_of(name) for name in columns},
            "results": to_records(frame[columns]),
            "artifacts": artifacts,
            "weights": _rows(
                session, Weights, "digest", {row["weights_digest"] for row in artifacts.values()}
            ),
            "evaluations": evaluations,
            "benchmarks": benchmarks,
            "machines": _rows(session, Environment, "digest", machines),
            "datasets": _rows(session, Dataset, "digest", datasets),
        }
    return as_json(document)


def _rows(session: Session, table: type[Base], key: str, keys: Any) -> dict[str, dict[str, Any]]:
    """Database rows by their key as plain data, without the columns of _LOCAL."""
    values = sorted({_plain(value) for value in keys if value is not None and value == value})
    column = getattr(table, key)
    rows: dict[str, dict[str, Any]] = {}
    for start in range(0, len(values), QUERY_CHUNK):
        for row in session.scalars(
            select(table).where(column.in_(values[start : start + QUERY_CHUNK]))
        ):
            plain = {c.name: getattr(row, c.name) for c in table.__table__.columns}
            rows[str(plain[key])] = {n: v for n, v in plain.items() if n not in _LOCAL}
    return rows


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value
