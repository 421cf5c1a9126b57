"""The constraints of a deployment, and the states of what is said about a build under them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd

from engine.benchmark.sweep import Percentile

TOLERANCE = 1e-9  # a value equal to the limit is within it, despite rounding
DROP, TOP1, SIZE, MEMORY = "drop_pp", "top1", "size_mb", "peak_rss_mb"
ACCURACY = (DROP, TOP1)
"""Columns whose limits are tested on images; the others are compared with a figure."""


class State(StrEnum):
    """What is shown about a build: a recommendation has one of the first three.

    MEETS: accuracy, speed and size are all shown to be within the constraints. LIKELY: the figures
    are within, but more images are needed to show the accuracy. INCONCLUSIVE: the speed was
    disturbed or unstable, or data is missing. FAILS: a figure is beyond its limit.
    """

    MEETS = "Meets constraints"
    LIKELY = "Likely, more images needed"
    INCONCLUSIVE = "Inconclusive"
    FAILS = "Does not meet the constraints"


class Goal(StrEnum):
    """The objective among the builds within the constraints."""

    ACCURACY = "accuracy"
    THROUGHPUT = "throughput"


@dataclass(frozen=True, slots=True)
class Constraints:
    """Constraints of a deployment; None: no constraint. Accuracies in percent.

    `max_drop_pp`: accuracy drop vs fp32 of the same model, in percentage points of top-1;
    `max_latency_ms`: of one request, at `percentile`; `max_memory_mb`: peak memory of the process.
    """

    percentile: Percentile = Percentile.P90
    max_latency_ms: float | None = None
    max_drop_pp: float | None = 1.0
    min_top1: float | None = None
    max_size_mb: float | None = None
    max_memory_mb: float | None = None
    goal: Goal = Goal.ACCURACY


@dataclass(frozen=True, slots=True)
class Limit:
    """The maximum (or, with `minimum`, the least) value of a column of results."""

    column: str
    bound: float
    name: str
    unit: str
    minimum: bool = False

    def excess(self, value: Any) -> Any:
        """By how much a value, or each of a column, is beyond the limit; missing stays so."""
        return self.bound - value if self.minimum else value - self.bound

    def met_by(self, points: pd.DataFrame) -> pd.Series:
        """Whether each row is within the limit; a row without the figure is not."""
        return self.excess(points[self.column].astype(float)) <= TOLERANCE

    def __str__(self) -> str:
        return f"{self.name} {'≥' if self.minimum else '≤'} {self.bound:g} {self.unit}"


def limits_of(constraints: Constraints) -> list[Limit]:
    """The constraints that are set."""
    percentile = constraints.percentile
    possible = (
        (percentile.column, constraints.max_latency_ms, str(percentile), "ms", False),
        (DROP, constraints.max_drop_pp, "accuracy drop", "pp", False),
        (TOP1, constraints.min_top1, "top-1", "%", True),
        (SIZE, constraints.max_size_mb, "size", "MB", False),
        (MEMORY, constraints.max_memory_mb, "peak memory", "MB", False),
    )
    return [
        Limit(column, bound, name, unit, minimum)
        for column, bound, name, unit, minimum in possible
        if bound is not None
    ]


def all_met(points: pd.DataFrame, limits: list[Limit]) -> pd.Series:
    """Whether each row is within all limits."""
    meets = pd.Series(True, index=points.index)
    for limit in limits:
        meets &= limit.met_by(points)
    return meets
