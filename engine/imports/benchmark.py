"""Imports benchmarks: speeds that another machine measured, with what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from sqlalchemy import select

from db.enums import Precision
from db.models import Benchmark
from db.session import writing
from engine.catalog.models import find_model
from engine.common.untrusted import MAX_FIGURE, MAX_INTEGER, plain_facts, plain_name, read_json
from engine.errors import InvalidRequest
from engine.imports.builds import SOURCE_LENGTH, record_build, record_outside
from engine.imports.tables import read_csv
from engine.store.protocols import BenchmarkProtocol
from engine.text import cut

Checked = TypeVar("Checked")

LATENCIES = ("mean", "p50", "p90", "p95", "p99")
# Characters of what is text, as the columns and labels hold it.
LENGTHS = {"source": SOURCE_LENGTH, "device": 100, "runtime": 40, "provider": 60}


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value} is no number")
    return value


def _no_denormal_number(value: float) -> float:
    if value < 1 / MAX_FIGURE:
        raise ValueError(f"{value:g} is too small to be a measured figure")
    return value


_Number = BeforeValidator(_no_truth_value)
Count = Annotated[int, Field(ge=1, le=MAX_INTEGER), _Number]
Figure = Annotated[float, Field(gt=0, le=MAX_FIGURE), _Number, AfterValidator(_no_denormal_number)]
Cost = Annotated[float, Field(ge=0, le=MAX_FIGURE), _Number]


class OutsideBenchmark(BaseModel):
    """One speed. Latencies in ms are of one request of `batch` images; memory in MB.

    `device` names the accelerator or processor; `environment` holds all else that is known of
    the machine. `instances` are requests in flight, `threads` those of the host.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    precision: Precision
    source: str
    device: str
    images_per_s: Figure
    images_per_s_low: Figure | None = None
    images_per_s_high: Figure | None = None
    batch: Count = 1
    threads: Count = 1
    instances: Count = 1
    runtime: str = "not stated"
    provider: str = "not stated"
    latency_mean_ms: Figure | None = None
    latency_p50_ms: Figure | None = None
    latency_p90_ms: Figure | None = None
    latency_p95_ms: Figure | None = None
    latency_p99_ms: Figure | None = None
    samples: Count | None = None
    load_ms: Cost | None = None
    first_inference_ms: Cost | None = None
    peak_rss_mb: Cost | None = None
    environment: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @field_validator("source", "device", "runtime", "provider")
    @classmethod
    def _is_a_name(cls, text: str, field: ValidationInfo) -> str:
        name = str(field.field_name)
        return _said(lambda: plain_name(text, f"The {name}", LENGTHS[name]))

    @field_validator("environment")
    @classmethod
    def _can_be_stored(cls, facts: dict[str, Any]) -> dict[str, Any]:
        return _said(lambda: plain_facts(facts, "environment"))

    @field_validator("model")
    @classmethod
    def _is_known(cls, model_id: str) -> str:
        return _said(lambda: find_model(model_id).id)

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


_AS_STATED = BenchmarkProtocol(imported="as stated by whoever imported it")
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
            where = cut(".".join(str(part) for part in first["loc"])) or "row"
            reason = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
            raise InvalidRequest(f"{path.name}, benchmark {number}: {where}: {reason}.") from error
    if not found:
        raise InvalidRequest(f"{path.name} holds no benchmark.")
    return found


def _said(check: Callable[[], Checked]) -> Checked:
    """What a check of the border returns; its refusal as pydantic takes it."""
    try:
        return check()
    except InvalidRequest as error:
        raise ValueError(str(error)) from error


def _records(path: Path) -> list[dict[str, Any]]:
    if path.suffix.lower() == ".csv":
        return [_unflatten(row) for row in read_csv(path).to_dict("records")]
    data = read_json(path)
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
        row = Benchmark(**values, protocol=_AS_STATED.dump())
        session.add(row)
    return row, False
