"""Whether a speed may decide: stable, undisturbed, within the limit, and faster than fp32."""

from __future__ import annotations

from typing import Any

import pandas as pd

from db.enums import Precision
from engine.results.builds import MEASURED_HERE
from engine.results.faster import not_faster
from engine.results.recommend.constraints import TOLERANCE, Constraints
from engine.results.recommend.evidence import Evidence, Interval
from engine.specs.comparability import SAME_MODEL
from engine.text import is_missing, number

Row = dict[str, Any]


def unreliable_because(row: Row) -> list[str]:
    """Why a speed of the results cannot decide, one clause each; empty for one that can."""
    if row["origin"] != MEASURED_HERE:
        return ["the speed was imported: whether it was stable and undisturbed is not stated"]
    reasons = []
    if row["stable"] == 0:
        state = "" if is_missing(row["machine_state"]) else f" ({row['machine_state']})"
        reasons.append(f"the speed is unstable: its interval between rounds is wide{state}")
    elif is_missing(row["stable"]) and row["valid"] != 1:
        reasons.append("whether the speed is stable was not measured")
    if not is_missing(row["noise"]):
        reasons.append(f"the speed was measured under interference: {row['noise']}")
    if row["valid"] == 0:
        reasons.append(f"the benchmark failed the condition of its scenario: {row['verdict']}")
    return reasons


def latency_interval(row: Row, constraints: Constraints, evidence: Evidence) -> Interval | None:
    """The interval of the constrained latency between rounds, in ms; None where there is none."""
    if constraints.max_latency_ms is None or is_missing(row["benchmark_id"]):
        return None
    return evidence.intervals(int(row["benchmark_id"])).get(constraints.percentile.column)


def crosses_limit(interval: Interval | None, constraints: Constraints) -> list[str]:
    """A clause where the interval of the latency reaches beyond its limit; else empty."""
    limit = constraints.max_latency_ms
    if interval is None or limit is None or interval[1] <= limit + TOLERANCE:
        return []
    low, high = (number(end, 2) for end in interval)
    return [
        f"the interval of {constraints.percentile}, {low} to {high} ms, reaches beyond the limit "
        f"of {limit:g} ms"
    ]


References = dict[tuple[Any, ...], Row]
"""The fastest eligible fp32 build, by model and runtime."""


def references_of(eligible: pd.DataFrame) -> References:
    """The fp32 builds that the eligible builds are compared with."""
    fp32 = eligible[eligible["precision"] == Precision.FP32]
    rows = fp32.sort_values("images_per_s", kind="stable").to_dict("records")
    return {_model_and_runtime(row): row for row in rows}


def _fp32_beside(row: Row, references: References) -> Row | None:
    """The fp32 build of the same model in the same runtime; None for fp32 itself."""
    if row["precision"] == Precision.FP32:
        return None
    return references.get(_model_and_runtime(row))


def _model_and_runtime(row: Row) -> tuple[Any, ...]:
    return (*("" if is_missing(row[name]) else row[name] for name in SAME_MODEL), row["runtime"])


def same_model(points: pd.DataFrame, row: Row) -> pd.Series:
    """Whether each row is of the same model; imported builds have no weights digest."""
    models = points[list(SAME_MODEL)].astype(object).fillna("")
    own = ["" if is_missing(row[name]) else row[name] for name in SAME_MODEL]
    return (models == own).all(axis=1)


def ranking_speed(points: pd.DataFrame) -> pd.Series:
    """images/s for ranking: a build not shown to be faster than its eligible fp32 stands behind it.

    `points`: the eligible builds.
    """
    rates = points["images_per_s"].astype(float).copy()
    compared = (points["precision"] != Precision.FP32) & points["speed_up_low"].notna()
    slower = points[compared & ~(points["speed_up_low"].astype(float) > 1)]
    references = references_of(points)
    for index, row in zip(slower.index, slower.to_dict("records"), strict=True):
        fp32 = _fp32_beside(row, references)
        if fp32 is not None:
            rates[index] = min(rates[index], fp32["images_per_s"] * (1 - TOLERANCE))
    return rates


def not_shown_faster(row: Row, references: References) -> list[str]:
    """A clause where a lower precision stands before fp32 without a comparison that shows why."""
    fp32 = _fp32_beside(row, references)
    if fp32 is None or not_faster(row) is not None:
        return []
    low, high = row["images_per_s_low"], fp32["images_per_s_high"]
    if not is_missing(low) and not is_missing(high) and low > high:
        return []
    return [
        f"it is not shown to be faster than fp32 of this model, which is within the constraints "
        f"too ({number(row['images_per_s'])} and {number(fp32['images_per_s'])} images/s, measured "
        "in different sessions)"
    ]
