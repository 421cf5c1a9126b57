"""The best operating point of a sweep: the highest throughput within a latency limit.

Works on rows of the results table (columns of `engine.results.COLUMNS`), so that the command line
and the pages show the same sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.common.pareto import pareto_front
from engine.specs.comparability import SWEPT
from engine.text import is_missing, plural

if TYPE_CHECKING:
    import pandas as pd


class Percentile(StrEnum):
    """The latency percentile that a limit applies to."""

    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"

    @property
    def column(self) -> str:
        """The column of the results table, in ms."""
        return f"latency_{self}_ms"


@dataclass(frozen=True, slots=True)
class BestOperatingPoint:
    """The chosen `row` (None if no point meets the limit), and the points to choose from.

    `points`: all measured settings; `pareto_front`: those not dominated in latency and throughput,
    by ascending latency; `within_limit`: number of points that meet the limit.
    """

    row: dict[str, Any] | None
    points: pd.DataFrame
    pareto_front: pd.DataFrame
    within_limit: int
    percentile: Percentile
    limit_ms: float | None

    def sentence(self) -> str:
        """The best operating point with its figures, or the reason why no point qualifies."""
        if self.points.empty:
            return f"No closed-loop benchmark has a {self.percentile} latency."
        return self._describe(self.row) if self.row else self._describe_none()

    def _describe(self, row: dict[str, Any]) -> str:
        limit = f", limit {self.limit_ms:g} ms" if self.limit_ms is not None else ""
        points = plural(len(self.points), "point")
        compared = points if self.limit_ms is None else f"{self.within_limit} of {points} within it"
        return (
            f"Best operating point: {_name(row)} at {setting_label(row)}: "
            f"{row['images_per_s']:,.1f} images/s{_throughput_range(row)} with {self.percentile} "
            f"{row[self.percentile.column]:,.2f} ms over {row['samples']:,.0f} requests{limit}; "
            f"highest throughput of {compared}.{_reliability_note(row)}"
        )

    def _describe_none(self) -> str:
        lowest = self.points.loc[self.points[self.percentile.column].astype(float).idxmin()]
        return (
            f"None of {plural(len(self.points), 'point')} meets {self.percentile} <= "
            f"{self.limit_ms:g} ms: lowest {self.percentile} is "
            f"{lowest[self.percentile.column]:,.2f} ms, {_name(lowest)} at {setting_label(lowest)}."
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON: the chosen row, the Pareto front, the sentence."""
        columns = [*_ROW_COLUMNS, self.percentile.column]
        return {
            "percentile": str(self.percentile),
            "limit_ms": self.limit_ms,
            "points": len(self.points),
            "keeping": self.within_limit,
            "sentence": self.sentence(),
            "row": _json_row(self.row, columns) if self.row else None,
            "frontier": [_json_row(row, columns) for row in self.pareto_front.to_dict("records")],
        }


_INTEGER_COLUMNS = ("batch", "instances", "threads", "samples")
_ROW_COLUMNS = (
    "benchmark_id",
    "model_id",
    "precision",
    *_INTEGER_COLUMNS,
    "images_per_s",
    "stable",
    "noise",
)


def find_best_operating_point(
    rows: pd.DataFrame, percentile: Percentile = Percentile.P90, limit_ms: float | None = None
) -> BestOperatingPoint:
    """The highest images/s within the limit, of closed-loop rows of one machine.

    Rows without that percentile (p99 under 100 requests) are left out.
    """
    measured = rows[
        rows["benchmark_id"].notna()
        & (rows["scenario"] == CLOSED_LOOP)
        & rows[percentile.column].notna()
    ]
    points = measured.drop_duplicates("benchmark_id").reset_index(drop=True)
    latency, rate = points[percentile.column].astype(float), points["images_per_s"].astype(float)
    front = points.iloc[pareto_front(latency, rate)]
    eligible = points if limit_ms is None else points[latency <= limit_ms]
    row = None if eligible.empty else dict(eligible.loc[rate[eligible.index].idxmax()])
    return BestOperatingPoint(row, points, front, len(eligible), percentile, limit_ms)


def setting_label(row: Any) -> str:
    """`batch 4, concurrency 2, 1 thread` of a row of results."""
    batch, concurrency, threads = (int(row[name]) for name in SWEPT)
    return f"batch {batch}, concurrency {concurrency}, {plural(threads, 'thread')}"


def _name(row: Any) -> str:
    return f"{row['model_id']} {row['precision']}"


def _throughput_range(row: Any) -> str:
    low, high = row["images_per_s_low"], row["images_per_s_high"]
    return "" if is_missing(low) else f" ({low:,.1f} to {high:,.1f})"


def _reliability_note(row: Any) -> str:
    reasons = []
    if row["stable"] == 0:
        reasons.append("the rounds did not agree")
    if isinstance(row["noise"], str) and row["noise"]:
        reasons.append(row["noise"])
    return f" Unreliable: {'; '.join(reasons)}." if reasons else ""


def _json_row(row: Any, columns: list[str]) -> dict[str, Any]:
    """The columns of a row for JSON: missing values are None, counts are integers."""
    return {name: _json_value(name, row.get(name)) for name in columns}


def _json_value(name: str, value: Any) -> Any:
    if is_missing(value):
        return None
    if name in _INTEGER_COLUMNS or name == "benchmark_id":
        return int(value)
    return value.item() if hasattr(value, "item") else value
