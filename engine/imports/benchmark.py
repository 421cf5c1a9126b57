"""Imports benchmarks: latencies and throughputs that another machine measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
from engine.imports.builds import MAX_SOURCE_LENGTH, record_build, record_environment
from engine.imports.tables import read_csv
from engine.store.protocols import BenchmarkProtocol
from engine.text import cut

Value = TypeVar("Value")

LATENCIES = ("mean", "p50", "p90", "p95", "p99")
# Max number of characters, as the database columns hold them.
MAX_LENGTHS = {"source": MAX_SOURCE_LENGTH, "device": 100, "runtime": 40, "provider": 60}


def _reject_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number")
    return value


def _reject_denormal(value: float) -> float:
    if value < 1 / MAX_FIGURE:
        raise ValueError(f"{value:g} is too small to be a measured value")
    return value


_Number = BeforeValidator(_reject_bool)
Count = Annotated[int, Field(ge=1, le=MAX_INTEGER), _Number]
PositiveNumber = Annotated[
    float, Field(gt=0, le=MAX_FIGURE), _Number, AfterValidator(_reject_denormal)
]
NonNegativeNumber = Annotated[float, Field(ge=0, le=MAX_FIGURE), _Number]


class OutsideBenchmark(BaseModel):
    """A benchmark of another machine. Latencies (ms) are of one request of `batch` images.

    `device` is the accelerator or processor; `environment` holds other facts of the machine.
    `instances` are requests in flight, `threads` those of the host; memory is in MB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    precision: Precision
    source: str
    device: str
    images_per_s: PositiveNumber
    images_per_s_low: PositiveNumber | None = None
    images_per_s_high: PositiveNumber | None = None
    batch: Count = 1
    threads: Count = 1
    instances: Count = 1
    runtime: str = "not stated"
    provider: str = "not stated"
    latency_mean_ms: PositiveNumber | None = None
    latency_p50_ms: PositiveNumber | None = None
    latency_p90_ms: PositiveNumber | None = None
    latency_p95_ms: PositiveNumber | None = None
    latency_p99_ms: PositiveNumber | None = None
    samples: Count | None = None
    load_ms: NonNegativeNumber | None = None
    first_inference_ms: NonNegativeNumber | None = None
    peak_rss_mb: NonNegativeNumber | None = None
    environment: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @field_validator("source", "device", "runtime", "provider")
    @classmethod
    def _check_name(cls, text: str, field: ValidationInfo) -> str:
        name = str(field.field_name)
        return _as_value_error(lambda: plain_name(text, f"The {name}", MAX_LENGTHS[name]))

    @field_validator("environment")
    @classmethod
    def _check_environment(cls, facts: dict[str, Any]) -> dict[str, Any]:
        return _as_value_error(lambda: plain_facts(facts, "environment"))

    @field_validator("model")
    @classmethod
    def _check_model(cls, model_id: str) -> str:
        return _as_value_error(lambda: find_model(model_id).id)

    @model_validator(mode="after")
    def _check_percentiles(self) -> OutsideBenchmark:
        percentiles = [
            value
            for name in LATENCIES[1:]
            if (value := getattr(self, f"latency_{name}_ms")) is not None
        ]
        if percentiles != sorted(percentiles):
            raise ValueError("Latency percentiles must rise from p50 to p99.")
        return self

    @model_validator(mode="after")
    def _check_range(self) -> OutsideBenchmark:
        low = self.images_per_s_low or self.images_per_s
        high = self.images_per_s_high or self.images_per_s
        if not low <= self.images_per_s <= high:
            raise ValueError("images_per_s must lie between images_per_s_low and _high.")
        return self


_IMPORTED_PROTOCOL = BenchmarkProtocol(imported="as stated by whoever imported it")
BENCHMARK_COLUMNS = tuple(
    name for name in OutsideBenchmark.model_fields if name in Benchmark.__table__.columns
)


def read_benchmarks(path: Path) -> list[OutsideBenchmark]:
    """Reads a JSON object, a JSON list of objects, or a CSV with one row per benchmark.

    In a CSV the column `environment.<fact>` holds a fact of the machine. Raises InvalidRequest with
    the row and the field.
    """
    return parse_benchmarks(read_records(path), path.name)


def parse_benchmarks(records: Iterable[Mapping[str, Any]], name: str) -> list[OutsideBenchmark]:
    """The benchmarks of these records; `name` is that of the file. Raises InvalidRequest."""
    benchmarks = []
    for number, record in enumerate(records, 1):
        try:
            benchmarks.append(OutsideBenchmark.model_validate(record))
        except ValidationError as error:
            first = error.errors()[0]
            where = cut(".".join(str(part) for part in first["loc"])) or "row"
            reason = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
            raise InvalidRequest(f"{name}, benchmark {number}: {where}: {reason}.") from error
    if not benchmarks:
        raise InvalidRequest(f"{name} holds no benchmark.")
    return benchmarks


def map_records(
    records: Iterable[Mapping[str, Any]], fields: Mapping[str, str], constants: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The records with `fields` (field -> key of the file), and the same constants in each.

    Keys that no field uses are dropped, but for `environment`.
    """
    mapped = []
    for record in records:
        row = {field: record[key] for field, key in fields.items() if record.get(key) is not None}
        if record.get("environment"):
            row["environment"] = record["environment"]
        mapped.append({**constants, **row})
    return mapped


def _as_value_error(check: Callable[[], Value]) -> Value:
    """The result of a check; its InvalidRequest is raised as a ValueError, for pydantic."""
    try:
        return check()
    except InvalidRequest as error:
        raise ValueError(str(error)) from error


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON or CSV file, unchecked. Raises InvalidRequest for another file."""
    if path.suffix.lower() == ".csv":
        return [_unflatten(row) for row in read_csv(path).to_dict("records")]
    data = read_json(path)
    records = data if isinstance(data, list) else [data]
    if not all(isinstance(record, dict) for record in records):
        raise InvalidRequest(
            f"{path.name} must hold one JSON object per benchmark, or a list of them."
        )
    return records


def _unflatten(row: dict[Any, Any]) -> dict[str, Any]:
    cells = {str(name): value for name, value in row.items() if value == value}  # without NaN
    facts = {
        name.partition(".")[2]: value
        for name, value in cells.items()
        if name.startswith("environment.")
    }
    plain = {name: v for name, v in cells.items() if not name.startswith("environment.")}
    return {**plain, "environment": facts}


def import_benchmarks(benchmarks: list[OutsideBenchmark], url: str) -> list[tuple[Benchmark, bool]]:
    """Records the benchmarks; returns each row, and whether an equal one existed before."""
    return [_import_benchmark(benchmark, url) for benchmark in benchmarks]


def _import_benchmark(benchmark: OutsideBenchmark, url: str) -> tuple[Benchmark, bool]:
    build = record_build(benchmark.model, benchmark.precision, benchmark.source, url)
    machine = {**benchmark.environment, "device": benchmark.device, "runtime": benchmark.runtime}
    values = {
        "imported_digest": build.digest,
        "environment_digest": record_environment(machine, url),
        **{name: getattr(benchmark, name) for name in BENCHMARK_COLUMNS},
    }
    with writing(url) as session:
        existing = session.scalar(select(Benchmark).filter_by(**values))
        if existing is not None:
            return existing, True
        row = Benchmark(**values, protocol=_IMPORTED_PROTOCOL.dump())
        session.add(row)
    return row, False
