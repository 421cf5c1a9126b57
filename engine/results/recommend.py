"""The recommended build under the constraints of a deployment, with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd

from db.enums import Precision
from engine.benchmark.sweep import Percentile
from engine.common.stats import PairedDifference
from engine.results.groups import accuracy_points, is_collapsed
from engine.results.wording import accuracy_text, interval_text, significance_text
from engine.specs.comparability import SAME_EVALUATION, SAME_MODEL
from engine.store.manifest import EMULATED
from engine.text import is_missing, number, plural, signed

TOLERANCE = 1e-9  # a value equal to the limit is within it, despite rounding


class Goal(StrEnum):
    """The objective among the builds within the constraints."""

    ACCURATE = "most accurate"
    FAST = "fastest"


@dataclass(frozen=True, slots=True)
class Constraints:
    """Constraints of a deployment; None: no constraint.

    `max_drop_pp`: accuracy drop vs fp32 of the same model, in percentage points of top-1.
    """

    percentile: Percentile = Percentile.P90
    max_latency_ms: float | None = None
    max_drop_pp: float | None = 1.0
    max_size_mb: float | None = None
    goal: Goal = Goal.ACCURATE


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The recommended row (None if no build meets the constraints) and the reason.

    `meets`: for each candidate, whether it meets all constraints.
    """

    row: dict[str, Any] | None
    meets: pd.Series
    reason: str


@dataclass(frozen=True, slots=True)
class RecommendationText:
    """The recommendation in two parts: the build (`head`) and its evidence."""

    head: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.head} {self.evidence}"


def comparable_points(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per evaluation that is comparable with the others.

    `rows`: as from `with_not_comparable`.
    """
    points = accuracy_points(rows)
    return points[points["not_comparable"].isna()]


def candidates(points: pd.DataFrame) -> pd.DataFrame:
    """The rows of `comparable_points` that have a speed, with their accuracy drops."""
    return with_accuracy_drops(points[points["images_per_s"].notna()])


def with_accuracy_drops(points: pd.DataFrame) -> pd.DataFrame:
    """Adds `fp32_id` (evaluation) and `drop_pp`: top-1 of fp32 minus top-1 of the row, in pp.

    fp32 of the same model on the same images. Both are missing without such an evaluation; the drop
    of fp32 itself is 0.
    """
    keys = [*SAME_MODEL, *SAME_EVALUATION]
    fp32 = points[points["precision"] == Precision.FP32].drop_duplicates(keys)
    reference = points[keys].merge(
        fp32[[*keys, "top1", "evaluation_id"]], on=keys, how="left", validate="many_to_one"
    )
    return points.assign(
        fp32_id=reference["evaluation_id"].to_numpy(),
        drop_pp=reference["top1"].to_numpy() - points["top1"].to_numpy(),
    )


def recommend(points: pd.DataFrame, constraints: Constraints) -> Recommendation:
    """The recommended build among `points` (as from `candidates`).

    Goal "most accurate" with a max accuracy drop: the model of the most accurate build within the
    constraints, at its fastest precision within them (inside the accepted drop, speed decides).
    """
    limits = _limits(constraints)
    meets = _meet_all(points, limits) & ~is_collapsed(points)
    eligible = points[meets]
    if eligible.empty:
        return Recommendation(None, meets, _no_build_meets(points, limits))
    by_speed = ["images_per_s", "top1"]
    by_accuracy = by_speed[::-1]
    if constraints.goal == Goal.FAST:
        best = eligible.sort_values(by_speed, ascending=False)
    else:
        best = eligible.sort_values(by_accuracy, ascending=False)
        if constraints.max_drop_pp is not None:
            # Imported builds have no weights digest.
            models = best[list(SAME_MODEL)].astype(object).fillna("")
            same_model = (models == models.iloc[0]).all(axis=1)
            best = best[same_model].sort_values(by_speed, ascending=False)
    row: dict[str, Any] = best.iloc[0].to_dict()
    count = plural(len(eligible), "build")
    return Recommendation(row, meets, f"Best of {count} within the constraints")


@dataclass(frozen=True, slots=True)
class _Limit:
    """The maximum value of a column; `name` and `unit` are those of the constraint."""

    column: str
    maximum: float
    name: str
    unit: str

    def __str__(self) -> str:
        return f"{self.name} ≤ {self.maximum:g} {self.unit}"


def _limits(constraints: Constraints) -> list[_Limit]:
    """The constraints that are set."""
    percentile = constraints.percentile
    possible = (
        (percentile.column, constraints.max_latency_ms, str(percentile), "ms"),
        ("drop_pp", constraints.max_drop_pp, "accuracy drop", "pp"),
        ("size_mb", constraints.max_size_mb, "size", "MB"),
    )
    return [
        _Limit(column, maximum, name, unit)
        for column, maximum, name, unit in possible
        if maximum is not None
    ]


def _meet_all(points: pd.DataFrame, limits: list[_Limit]) -> pd.Series:
    """Whether each row meets all limits; a row without the figure does not."""
    meets = pd.Series(True, index=points.index)
    for limit in limits:
        meets &= points[limit.column].astype(float) <= limit.maximum + TOLERANCE
    return meets


def _no_build_meets(points: pd.DataFrame, limits: list[_Limit]) -> str:
    """Each constraint that alone excludes builds: how many meet the others, and the closest one."""
    sentences = [f"No build meets all constraints (0 of {len(points):,})."]
    for limit in limits:
        others = points[_meet_all(points, [other for other in limits if other is not limit])]
        if others.empty:
            continue
        sentence = f"{plural(len(others), 'build')} without {limit}"
        measured = others[others[limit.column].notna()]
        if len(measured):
            closest = measured.loc[measured[limit.column].astype(float).idxmin()]
            figure = f"{number(closest[limit.column], 2)} {limit.unit}"
            sentence += f"; closest: {closest['label']} {closest['precision']}, {figure}"
        sentences.append(f"{sentence}.")
    return " ".join(sentences)


def recommendation_text(
    recommendation: Recommendation,
    constraints: Constraints,
    difference: PairedDifference | None,
    setting: str,
) -> RecommendationText:
    """`Recommended: X int8.` and its evidence, of a recommendation with a row.

    `difference`: top-1 of the row minus top-1 of its fp32, paired by image.
    """
    row = recommendation.row or {}
    percentile = constraints.percentile
    speed = f"{number(row['images_per_s'])} images/s{_speed_up_clause(row)}"
    if not is_missing(row[percentile.column]):
        speed += f", {percentile} {number(row[percentile.column], 2)} ms"
    rule = str(constraints.goal)
    if constraints.goal == Goal.ACCURATE and constraints.max_drop_pp is not None:
        rule = "most accurate model, its fastest precision"
    return RecommendationText(
        f"Recommended: {row['label']} {row['precision']}.",
        f"{accuracy_text(row)}{_drop_clause(row, difference)}; {speed} at {setting}; "
        f"{number(row['size_mb'])} MB. {recommendation.reason} ({rule}).",
    )


def _speed_up_clause(row: dict[str, Any]) -> str:
    """` (1.10 × its fp32, paired 95 % interval 1.08 to 1.12: significant)`; empty without one."""
    if row["precision"] == Precision.FP32 or is_missing(row["speed_up_low"]):
        return ""
    low, high = (number(row[f"speed_up_{end}"], 2) for end in ("low", "high"))
    return (
        f" ({number(row['speed_up'], 2)} × its fp32, paired 95 % interval {low} to {high}: "
        f"{significance_text(row['speed_up_p'])})"
    )


def _drop_clause(row: dict[str, Any], difference: PairedDifference | None) -> str:
    if row["precision"] == Precision.FP32:
        return ""
    if difference is not None:
        change = signed(100 * difference.difference, 2)
        return f", {change} pp vs its fp32 ({interval_text(difference)})"
    if is_missing(row["drop_pp"]):
        return ", accuracy drop vs fp32 unknown"
    return f", {signed(-row['drop_pp'], 2)} pp vs its fp32 (not paired by image)"


def most_accurate_text(
    best: dict[str, Any], second: dict[str, Any] | None, lead: PairedDifference | None
) -> RecommendationText:
    """`Most accurate: X fp32.` and its evidence; `lead`: top-1 of `best` minus `second`, paired."""
    evidence = accuracy_text(best)
    if second is not None and lead is not None:
        evidence += (
            f", {signed(100 * lead.difference, 2)} pp vs {second['label']} {second['precision']} "
            f"({interval_text(lead)}: {significance_text(lead.p_value)})"
        )
    return RecommendationText(
        f"Most accurate: {best['label']} {best['precision']}.",
        f"{evidence}. A recommendation also needs a benchmark.",
    )


def recommendation_caveats(
    row: dict[str, Any], constraints: Constraints, difference: PairedDifference | None
) -> list[str]:
    """Reasons why the recommendation is uncertain; may be empty."""
    caveats = []
    limit = constraints.max_drop_pp
    if difference is not None and limit is not None and -100 * difference.low > limit:
        caveats.append(
            f"the interval of the accuracy drop reaches {signed(100 * difference.low, 2)} pp, "
            f"beyond the constraint of {limit:g} pp: evaluate more images"
        )
    if row["stable"] == 0:
        state = "" if is_missing(row["machine_state"]) else f" ({row['machine_state']})"
        caveats.append(f"the speed is unstable: its interval between rounds is wide{state}")
    if not is_missing(row["speed_up_high"]) and row["speed_up_high"] <= 1:
        caveats.append(f"{row['precision']} is not faster than fp32 of this model here")
    if not is_missing(row["noise"]):
        caveats.append(f"the speed was measured under interference: {row['noise']}")
    if row["valid"] == 0:
        caveats.append(f"the benchmark failed the condition of its scenario: {row['verdict']}")
    if not is_missing(row["elsewhere"]):
        caveats.append(str(row["elsewhere"]))
    if row["execution"] == EMULATED:
        caveats.append(f"{row['precision']} is emulated on this processor")
    return caveats
