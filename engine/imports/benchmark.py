"""Imports benchmarks: speeds that another machine measured, with what is known of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import select

from db.enums import Precision
from db.session import writing
from db.tables import Benchmark
from engine.errors import InvalidRequest
from engine.imports.builds import SOURCE_LENGTH, record_build
from engine.imports.environments import record_outside

LATENCIES = ("mean", "p50", "p90", "p95", "p99")


class OutsideBenchmark(BaseModel):
    """One speed. Latencies in ms are of one request of `batch` images; memory in MB.

    `device` names the accelerator or processor; `environment` holds all else that is known of
    the machine. `instances` are requests in flight, `threads` those of the host.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    precision: Precision
    source: str = Field(min_length=1, max_length=SOURCE_LENGTH)
    device: str = Field(min_length=1, max_length=100)
    images_per_s: float = Field(gt=0, allow_inf_nan=False)
    images_per_s_low: float | None = Field(None, gt=0)
    images_per_s_high: float | None = Field(None, gt=0)
    batch: int = Field(1, ge=1)
    threads: int = Field(1, ge=1)
    instances: int = Field(1, ge=1)
    runtime: str = "not stated"
    provider: str = "not stated"
    latency_mean_ms: float | None = Field(None, gt=0)
    latency_p50_ms: float | None = Field(None, gt=0)
    latency_p90_ms: float | None = Field(None, gt=0)
    latency_p95_ms: float | None = Field(None, gt=0)
    latency_p99_ms: float | None = Field(None, gt=0)
    samples: int | None = Field(None, ge=1)
    load_ms: float | None = Field(None, ge=0)
    first_inference_ms: float | None = Field(None, ge=0)
    peak_rss_mb: float | None = Field(None, ge=0)
    environment: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _percentiles_rise(self) -> OutsideBenchmark:
        known = [
            value
            for name in LATENCIES[1:]
            if (value := getattr(self, f"latency_{name}_ms")) is not None
        ]
        if known != sorted(known):
            raise ValueError("Latency percentiles must rise from p50 to p99.")
        return self

    @model_validator(mode="after")
    def _range_holds_the_rate(self) -> OutsideBenchmark:
        low = self.images_per_s_low or self.images_per_s
        high = self.images_per_s_high or self.images_per_s
        if not low <= self.images_per_s <= high:
            raise ValueError("images_per_s must lie between images_per_s_low and _high.")
        return self


FIGURES = tuple(
    name for name in OutsideBenchmark.model_fields if name in Benchmark.__table__.columns
)


def read_benchmarks(path: Path) -> list[OutsideBenchmark]:
    """Reads a JSON object, a JSON list of them, or a CSV with one row a benchmark.

    In a CSV a column `environment.<fact>` is a fact of the machine. Raises InvalidRequest naming
    the row and the field.
    """
    records = _records(path)
    found = []
    for number, record in enumerate(records, 1):
        try:
            found.append(OutsideBenchmark.model_validate(record))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "row"
            reason = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
            raise InvalidRequest(f"{path.name}, benchmark {number}: {where}: {reason}.") from error
    if not found:
        raise InvalidRequest(f"{path.name} holds no benchmark.")
    return found


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix.lower() == ".csv":
            return [_unflatten(row) for row in pd.read_csv(path).to_dict("records")]
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0].rstrip(".")
        raise InvalidRequest(f"{path.name} cannot be read as JSON or CSV: {reason}.") from error
    records = data if isinstance(data, list) else [data]
    if not all(isinstance(record, dict) for record in records):
        raise InvalidRequest(f"{path.name} must hold one JSON object a benchmark, or a list.")
    return records


def _unflatten(row: dict[Any, Any]) -> dict[str, Any]:
    given = {str(name): value for name, value in row.items() if value == value}
    facts = {
        name.partition(".")[2]: value
        for name, value in given.items()
        if name.startswith("environment.")
    }
    plain = {name: v for name, v in given.items() if not name.startswith("environment.")}
    return {**plain, "environment": facts}


def import_benchmarks(asked: list[OutsideBenchmark], url: str) -> list[tuple[Benchmark, bool]]:
    """Records the benchmarks; each with whether an equal one had been imported before."""
    return [_import_one(one, url) for one in asked]


def _import_one(asked: OutsideBenchmark, url: str) -> tuple[Benchmark, bool]:
    build = record_build(asked.model, asked.precision, asked.source, url)
    machine = {**asked.environment, "device": asked.device, "runtime": asked.runtime}
    values = {
        "imported_digest": build.digest,
        "environment_digest": record_outside(machine, url),
        **{name: getattr(asked, name) for name in FIGURES},
    }
    with writing(url) as session:
        equal = session.scalar(select(Benchmark).filter_by(**values))
        if equal is not None:
            return equal, True
        row = Benchmark(**values, protocol={"imported": "as stated by whoever imported it"})
        session.add(row)
    return row, False
