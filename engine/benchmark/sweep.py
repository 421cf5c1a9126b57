"""The best of many settings: most images/s while the latency stays within a limit.

Works on rows of the results table (columns of `engine.results.COLUMNS`), so that the terminal and
the pages say the same.
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
    """Which latency a limit is on."""

    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"

    @property
    def column(self) -> str:
        """The column of the results table, in ms."""
        return f"latency_{self}_ms"


@dataclass(frozen=True, slots=True)
class SweetSpot:
    """The answer (`row`, None where nothing keeps the limit), and what it was chosen from.

    `frontier` are the rows that no other beats in both, by rising latency.
    """

    row: dict[str, Any] | None
    points: pd.DataFrame
    pareto_front: pd.DataFrame
    keeping: int
    percentile: Percentile
    limit_ms: float | None

    def sentence(self) -> str:
        """The answer with its evidence, or why there is none."""
        if self.points.empty:
            return f"Nothing was measured in closed loop with a {self.percentile} of its latency."
        return self._found(self.row) if self.row else self._none()

    def _found(self, row: dict[str, Any]) -> str:
        limit = f", within the limit of {self.limit_ms:g} ms" if self.limit_ms is not None else ""
        points = plural(len(self.points), "point")
        kept = points if self.limit_ms is None else f"the {self.keeping} of {points} that keep it"
        return (
            f"Sweet spot: {_name(row)} at {setting_of(row)}: {row['images_per_s']:,.1f} images/s"
            f"{_range(row)} with {self.percentile} {row[self.percentile.column]:,.2f} ms over "
            f"{row['samples']:,.0f} requests{limit}; the most images/s of {kept}.{_doubts(row)}"
        )

    def _none(self) -> str:
        lowest = self.points.loc[self.points[self.percentile.column].astype(float).idxmin()]
        return (
            f"None of {plural(len(self.points), 'point')} has a {self.percentile} of at most "
            f"{self.limit_ms:g} ms; the lowest is {lowest[self.percentile.column]:,.2f} ms: "
            f"{_name(lowest)} at {setting_of(lowest)}."
        )

    def to_json(self) -> dict[str, Any]:
        """For a document: the choice, the frontier, the sentence."""
        columns = [*_TOLD, self.percentile.column]
        return {
            "percentile": str(self.percentile),
            "limit_ms": self.limit_ms,
            "points": len(self.points),
            "keeping": self.keeping,
            "sentence": self.sentence(),
            "row": _plain_row(self.row, columns) if self.row else None,
            "frontier": [_plain_row(row, columns) for row in self.pareto_front.to_dict("records")],
        }


_COUNTS = ("batch", "instances", "threads", "samples")
_TOLD = ("benchmark_id", "model_id", "precision", *_COUNTS, "images_per_s", "stable", "noise")


def find_sweet_spot(
    rows: pd.DataFrame, percentile: Percentile = Percentile.P90, limit_ms: float | None = None
) -> SweetSpot:
    """Of rows measured in closed loop on one machine: the most images/s within the limit.

    Rows without that percentile (a p99 under 100 requests) can keep no limit and are left out.
    """
    measured = rows[
        rows["benchmark_id"].notna()
        & (rows["scenario"] == CLOSED_LOOP)
        & rows[percentile.column].notna()
    ]
    points = measured.drop_duplicates("benchmark_id").reset_index(drop=True)
    latency, rate = points[percentile.column].astype(float), points["images_per_s"].astype(float)
    best = points.iloc[pareto_front(latency, rate)]
    kept = points if limit_ms is None else points[latency <= limit_ms]
    row = None if kept.empty else dict(kept.loc[rate[kept.index].idxmax()])
    return SweetSpot(row, points, best, len(kept), percentile, limit_ms)


def setting_of(row: Any) -> str:
    """`batch 4, 2 in flight, 1 thread` of a row of results."""
    batch, instances, threads = (int(row[name]) for name in SWEPT)
    return f"batch {batch}, {instances} in flight, {plural(threads, 'thread')}"


def _name(row: Any) -> str:
    return f"{row['model_id']} {row['precision']}"


def _range(row: Any) -> str:
    low, high = row["images_per_s_low"], row["images_per_s_high"]
    return "" if is_missing(low) else f" ({low:,.1f} to {high:,.1f})"


def _doubts(row: Any) -> str:
    told = []
    if row["stable"] == 0:
        told.append("its windows did not agree")
    if isinstance(row["noise"], str) and row["noise"]:
        told.append(row["noise"])
    return f" Doubtful: {'; '.join(told)}." if told else ""


def _plain_row(row: Any, columns: list[str]) -> dict[str, Any]:
    """For JSON: what is missing is None, counts are integers."""
    return {name: _plain(name, row.get(name)) for name in columns}


def _plain(name: str, value: Any) -> Any:
    if is_missing(value):
        return None
    if name in _COUNTS or name == "benchmark_id":
        return int(value)
    return value.item() if hasattr(value, "item") else value
