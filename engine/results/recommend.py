"""Which build to deploy under the constraints that were set: one answer with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd

from db.enums import Precision
from engine.benchmark.sweep import Percentile
from engine.common.stats import PairedDifference
from engine.results.groups import accuracy_points, collapsed
from engine.results.wording import accuracy_of, interval_of, verdict
from engine.specs.comparability import SAME_EVALUATION, SAME_MODEL
from engine.store.manifest import EMULATED
from engine.text import is_missing, number, plural, signed

ROUNDING = 1e-9  # a drop of exactly the limit is within it


class Goal(StrEnum):
    """What decides among the builds within the constraints."""

    ACCURATE = "most accurate"
    FAST = "fastest"


@dataclass(frozen=True, slots=True)
class Constraints:
    """What must hold; None: no constraint. `max_drop_pp` is against fp32 of the same model."""

    percentile: Percentile = Percentile.P90
    max_latency_ms: float | None = None
    max_drop_pp: float | None = 1.0
    max_size_mb: float | None = None
    goal: Goal = Goal.ACCURATE


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The chosen row (None where no build meets the constraints), which rows do, and why."""

    row: dict[str, Any] | None
    meets: pd.Series
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A sentence in two parts: which build, and its evidence."""

    head: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.head} {self.evidence}"


def comparable_points(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an evaluation that may be compared with the others (`rows` as from `with_apart`)."""
    points = accuracy_points(rows)
    return points[points["apart"].isna()]


def candidates(points: pd.DataFrame) -> pd.DataFrame:
    """Those of `comparable_points` that also have a speed, with their drops."""
    return with_drops(points[points["images_per_s"].notna()])


def with_drops(points: pd.DataFrame) -> pd.DataFrame:
    """Adds `fp32_id` and `drop`: top-1 (pp) below fp32 of the same model on the same images.

    Both missing where fp32 was not evaluated that way; 0 for fp32 itself.
    """
    keys = [*SAME_MODEL, *SAME_EVALUATION]
    fp32 = points[points["precision"] == Precision.FP32].drop_duplicates(keys)
    found = points[keys].merge(
        fp32[[*keys, "top1", "evaluation_id"]], on=keys, how="left", validate="many_to_one"
    )
    return points.assign(
        fp32_id=found["evaluation_id"].to_numpy(),
        drop=found["top1"].to_numpy() - points["top1"].to_numpy(),
    )


def recommend(points: pd.DataFrame, constraints: Constraints) -> Recommendation:
    """The build to deploy among `points` (as from `candidates`).

    With a constraint on the drop, the model is the one with the most accurate build that meets all
    constraints, and its precision the fastest that does: within the tolerated drop, speed decides.
    """
    limits = _limits(constraints)
    meets = _within(points, limits) & ~collapsed(points)
    good = points[meets]
    if good.empty:
        return Recommendation(None, meets, _nothing_meets(points, limits))
    by_speed = ["images_per_s", "top1"]
    by_accuracy = by_speed[::-1]
    if constraints.goal == Goal.FAST:
        best = good.sort_values(by_speed, ascending=False)
    else:
        best = good.sort_values(by_accuracy, ascending=False)
        if constraints.max_drop_pp is not None:
            models = best[list(SAME_MODEL)].astype(object).fillna("")  # imports state no weights
            same = (models == models.iloc[0]).all(axis=1)
            best = best[same].sort_values(by_speed, ascending=False)
    row: dict[str, Any] = best.iloc[0].to_dict()
    return Recommendation(row, meets, f"of the {plural(len(good), 'build')} that meet the limits")


@dataclass(frozen=True, slots=True)
class _Limit:
    """A column's largest value, and the constraint in words."""

    column: str
    most: float
    words: str


def _limits(constraints: Constraints) -> list[_Limit]:
    """The constraints that are set."""
    given, percentile = constraints, constraints.percentile
    possible = (
        (percentile.column, given.max_latency_ms, f"{percentile} of at most {{:g}} ms"),
        ("drop", given.max_drop_pp, "a drop of at most {:g} points"),
        ("size_mb", given.max_size_mb, "a size of at most {:g} MB"),
    )
    return [
        _Limit(column, most, words.format(most))
        for column, most, words in possible
        if most is not None
    ]


def _within(points: pd.DataFrame, limits: list[_Limit]) -> pd.Series:
    """Whether each row keeps all limits; what was not measured keeps none."""
    keep = pd.Series(True, index=points.index)
    for limit in limits:
        keep &= points[limit.column].astype(float) <= limit.most + ROUNDING
    return keep


def _nothing_meets(points: pd.DataFrame, limits: list[_Limit]) -> str:
    """Which constraint stands in the way: without it, how many would meet the others."""
    told = []
    for one in limits:
        count = int(_within(points, [other for other in limits if other is not one]).sum())
        if count:
            told.append(f"{plural(count, 'build')} without {one.words}")
    way_out = f" It would be {', or '.join(told)}." if told else ""
    return f"None of {plural(len(points), 'build')} meets all limits.{way_out}"


def answer(
    found: Recommendation, constraints: Constraints, drop: PairedDifference | None, setting: str
) -> Answer:
    """`Ship X at int8: ...` of a recommendation with a row; `drop` is the difference to fp32."""
    row = found.row or {}
    percentile = constraints.percentile
    speed = f"{number(row['images_per_s'])} images/s"
    if not is_missing(row[percentile.column]):
        speed += f" and {percentile} {number(row[percentile.column], 2)} ms"
    reason = f"the {constraints.goal} {found.reason}"
    if constraints.goal == Goal.ACCURATE and constraints.max_drop_pp is not None:
        reason = f"the most accurate model {found.reason}, at the fastest of its precisions that do"
    return Answer(
        f"Ship {row['label']} at {row['precision']}:",
        f"{accuracy_of(row)}{_drop_clause(row, drop)}, {speed} at {setting}, "
        f"{number(row['size_mb'])} MB; {reason}.",
    )


def _drop_clause(row: dict[str, Any], drop: PairedDifference | None) -> str:
    if row["precision"] == Precision.FP32:
        return ""
    if drop is not None:
        change = signed(100 * drop.difference, 2)
        return f", {change} points against its fp32 ({interval_of(drop)})"
    if is_missing(row["drop"]):
        return ", drop against fp32 unknown"
    return f", {signed(-row['drop'], 2)} points against its fp32 (not paired by image)"


def most_accurate(
    best: dict[str, Any], second: dict[str, Any] | None, lead: PairedDifference | None
) -> Answer:
    """`Most accurate is X at fp32: ...`, and by how much; `lead` is over the second best."""
    told = accuracy_of(best)
    if second is not None and lead is not None:
        told += (
            f", {signed(100 * lead.difference, 2)} points over {second['label']} at "
            f"{second['precision']} ({interval_of(lead)}: {verdict(lead.p_value)})"
        )
    return Answer(
        f"Most accurate is {best['label']} at {best['precision']}:",
        f"{told}. Which one to ship also takes a speed.",
    )


def doubts(
    row: dict[str, Any], constraints: Constraints, drop: PairedDifference | None
) -> list[str]:
    """What a careful reader would want said beside the answer."""
    told = []
    limit = constraints.max_drop_pp
    if drop is not None and limit is not None and -100 * drop.low > limit:
        told.append(
            f"the drop's interval reaches {signed(100 * drop.low, 2)} points, beyond the limit: "
            f"more images would settle it"
        )
    if row["stable"] == 0:
        told.append("its speed did not become stable")
    if not is_missing(row["noise"]):
        told.append(f"its speed is noisy: {row['noise']}")
    if row["valid"] == 0:
        told.append(f"its run did not keep its limit: {row['verdict']}")
    if not is_missing(row["elsewhere"]):
        told.append(str(row["elsewhere"]))
    if row["execution"] == EMULATED:
        told.append("its precision is emulated on this processor")
    return told
