"""Which build to ship under the limits that were set: one answer, one sentence, its evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from dashboard.formats import is_missing, number, plural, signed

LATENCIES = {
    "p50": "latency_p50_ms",
    "p90": "latency_p90_ms",
    "p95": "latency_p95_ms",
    "p99": "latency_p99_ms",
}
ROUNDING = 1e-9  # a drop of exactly the limit is within it
ACCURATE, FAST = "most accurate", "fastest"


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold; None is no limit. `drop_points` is against fp32 of the same model."""

    percentile: str = "p90"
    latency_ms: float | None = None
    drop_points: float | None = 1.0
    size_mb: float | None = None
    prefer: str = ACCURATE


@dataclass(frozen=True, slots=True)
class Verdict:
    """The chosen row (None where nothing meets the limits), what meets them, and by whom."""

    row: dict[str, Any] | None
    meets: pd.Series
    against: str


def with_drops(points: pd.DataFrame) -> pd.DataFrame:
    """Adds `fp32_id` and `drop`: points of top-1 under fp32 of the same model on the same images.

    Both missing where fp32 was not evaluated that way; 0 for fp32 itself.
    """
    keys = [
        "model_id",
        "weights_digest",
        "origin",
        "dataset_digest",
        "label_set",
        "preprocess",
        "images",
        "images_digest",
    ]
    fp32 = points[points["precision"] == "fp32"].drop_duplicates(keys)
    found = points[keys].merge(
        fp32[[*keys, "top1", "evaluation_id"]], on=keys, how="left", validate="many_to_one"
    )
    return points.assign(
        fp32_id=found["evaluation_id"].to_numpy(),
        drop=found["top1"].to_numpy() - points["top1"].to_numpy(),
    )


def judge(points: pd.DataFrame, limits: Limits) -> Verdict:
    """The build to ship among `points` (rows with accuracy and speed, as from `with_drops`).

    With a limit on the drop, the model is the one with the most accurate build that meets all
    limits, and its precision the fastest that does: within the tolerated drop, speed decides.
    """
    meets = pd.Series(True, index=points.index)
    for test in _tests(limits).values():
        meets &= test(points)
    meets &= ~points["at_chance"].fillna(False).astype(bool)
    good = points[meets]
    if good.empty:
        return Verdict(None, meets, nothing_meets(points, limits))
    if limits.prefer == FAST:
        best = good.sort_values(["images_per_s", "top1"], ascending=False)
    else:
        best = good.sort_values(["top1", "images_per_s"], ascending=False)
        if limits.drop_points is not None:
            same = (best["model_id"] == best.iloc[0]["model_id"]) & (
                best["weights_digest"] == best.iloc[0]["weights_digest"]
            )
            best = best[same].sort_values(["images_per_s", "top1"], ascending=False)
    row: dict[str, Any] = best.iloc[0].to_dict()
    return Verdict(row, meets, f"of the {plural(len(good), 'build')} that meet the limits")


def _tests(limits: Limits) -> dict[str, Callable[[pd.DataFrame], pd.Series]]:
    """Each limit that is set, by its words; what was not measured does not meet it."""
    given = {
        f"{limits.percentile} of at most {limits.latency_ms or 0:g} ms": (
            LATENCIES[limits.percentile],
            limits.latency_ms,
        ),
        f"a drop of at most {limits.drop_points or 0:g} points": ("drop", limits.drop_points),
        f"a size of at most {limits.size_mb or 0:g} MB": ("size_mb", limits.size_mb),
    }
    return {
        words: partial(_at_most, column=column, limit=limit)
        for words, (column, limit) in given.items()
        if limit is not None
    }


def _at_most(points: pd.DataFrame, column: str, limit: float) -> pd.Series:
    return points[column].astype(float) <= limit + ROUNDING


def nothing_meets(points: pd.DataFrame, limits: Limits) -> str:
    """Which limit stands in the way: without it, how many would meet the others."""
    tests = _tests(limits)
    told = []
    for name in tests:
        keep = pd.Series(True, index=points.index)
        for other, test in tests.items():
            if other != name:
                keep &= test(points)
        if keep.any():
            told.append(f"{plural(int(keep.sum()), 'build')} without {name}")
    way_out = f" It would be {', or '.join(told)}." if told else ""
    return f"None of {plural(len(points), 'build')} meets all limits.{way_out}"


def sentence(row: dict[str, Any], limits: Limits, drop: Any, setting: str, against: str) -> str:
    """`Ship X at int8: ...`; `drop` is the PairedDifference to fp32, or None."""
    latency = row[LATENCIES[limits.percentile]]
    accuracy = (
        f"{number(row['top1'], 2)} % top-1 ({number(row['top1_low'])} to "
        f"{number(row['top1_high'])} on {row['images']:,.0f} images of {row['dataset']})"
    )
    speed = f"{number(row['images_per_s'])} images/s"
    if not is_missing(latency):
        speed += f" and {limits.percentile} {number(latency, 2)} ms"
    reason = f"the {limits.prefer} {against}"
    if limits.prefer == ACCURATE and limits.drop_points is not None:
        reason = f"the most accurate model {against}, at the fastest of its precisions that do"
    return (
        f"Ship {row['label']} at {row['precision']}: {accuracy}{_drop_clause(row, drop)}, "
        f"{speed} at {setting}, {number(row['size_mb'])} MB; {reason}."
    )


def _drop_clause(row: dict[str, Any], drop: Any) -> str:
    if row["precision"] == "fp32":
        return ""
    if drop is None and is_missing(row["drop"]):
        return ", drop against fp32 unknown"
    if drop is None:
        return f", {signed(-row['drop'], 2)} points against its fp32 (not paired by image)"
    return (
        f", {signed(100 * drop.difference, 2)} points against its fp32 (paired 95 % interval "
        f"{signed(100 * drop.low, 2)} to {signed(100 * drop.high, 2)}, p = {drop.p_value:.2g})"
    )


def most_accurate(best: dict[str, Any], second: dict[str, Any] | None, lead: Any) -> str:
    """`Most accurate X at fp32: ...`, and by how much; `lead` is the PairedDifference, or None."""
    told = (
        f"Most accurate is {best['label']} at {best['precision']}: {number(best['top1'], 2)} % "
        f"top-1 ({number(best['top1_low'], 2)} to {number(best['top1_high'], 2)} on "
        f"{best['images']:,.0f} images of {best['dataset']})"
    )
    if second is not None and lead is not None:
        verdict = "more than chance" if lead.p_value < 0.05 else "no more than chance"
        told += (
            f", {signed(100 * lead.difference, 2)} points over {second['label']} at "
            f"{second['precision']} (paired 95 % interval {signed(100 * lead.low, 2)} to "
            f"{signed(100 * lead.high, 2)}, p = {lead.p_value:.2g}: {verdict})"
        )
    return f"{told}. Which one to ship also takes a speed."


def head_and_evidence(said: str, row: dict[str, Any]) -> tuple[str, str]:
    """The two parts of a sentence about a build, before and after `at <precision>: `.

    Its label may hold a colon of its own.
    """
    end = f" at {row['precision']}: "
    head, _, evidence = said.partition(end)
    return head + end.rstrip(), evidence


def doubts(row: dict[str, Any], limits: Limits, drop: Any) -> list[str]:
    """What a careful reader would want said beside the answer."""
    told = []
    limit = limits.drop_points
    if drop is not None and limit is not None and -100 * drop.low > limit:
        told.append(
            f"the drop's interval reaches {signed(100 * drop.low, 2)} points, beyond the limit: "
            f"more images would settle it"
        )
    if row["stable"] == 0:
        told.append("its speed did not become stable")
    if not is_missing(row["noise"]):
        told.append(f"its speed is noisy: {row['noise']}")
    if str(row["verdict"]).startswith("invalid"):
        told.append(f"its run did not keep its limit: {row['verdict']}")
    if not is_missing(row["elsewhere"]):
        told.append(str(row["elsewhere"]))
    if "emulated" in str(row["execution"]):
        told.append("its precision is emulated on this processor")
    return told
