"""Sentences about results, shared by the pages, the report and the terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd

from engine.common.stats import PairedDifference
from engine.text import number, plural, signed

SIGNIFICANCE = 0.05
"""A difference with a smaller p-value is called significant."""


def significance_text(p_value: float) -> str:
    """`significant` or `not significant`, at SIGNIFICANCE."""
    return "significant" if p_value < SIGNIFICANCE else "not significant"


def accuracy_text(row: dict[str, Any]) -> str:
    """`80.50 % top-1 (95 % interval 78.50 to 82.50, 1,000 images of val)`, of a row of results."""
    low, high = number(row["top1_low"], 2), number(row["top1_high"], 2)
    return (
        f"{number(row['top1'], 2)} % top-1 (95 % interval {low} to {high}, {row['images']:,.0f} "
        f"images of {row['dataset']})"
    )


def interval_text(paired: PairedDifference) -> str:
    """`paired 95 % interval −0.98 to −0.10, p = 0.063`, in percentage points."""
    low, high = signed(100 * paired.low, 2), signed(100 * paired.high, 2)
    return f"paired 95 % interval {low} to {high}, p = {paired.p_value:.2g}"


def pareto_front_summary(points: pd.DataFrame, front: list[int]) -> str:
    """Number of results on the Pareto front, by precision; `front`: their row positions."""
    if len(points) < 2:
        return "One result. To compare, measure another precision or model."
    counts = points.iloc[front]["precision"].value_counts()
    by_precision = ", ".join(f"{precision} {count}" for precision, count in counts.items())
    return (
        f"{len(front)} of {plural(len(points), 'result')} on the Pareto front ({by_precision}): no "
        f"other result is both faster and more accurate."
    )


def pairs_with_accuracy(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of precisions with a top-1 difference, one row per model and image set."""
    return pairs[pairs["change"].notna()].drop_duplicates(["label", "dataset", "images"])


def pairs_with_speed(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of precisions with a speed-up, one row per model and configuration."""
    return pairs[pairs["speed_up"].notna()].drop_duplicates(["label", "batch", "threads"])


def accuracy_change_summary(pairs: pd.DataFrame, first: str, second: str) -> str:
    """The median top-1 difference over models, and for how many models it is significant."""
    rows = pairs_with_accuracy(pairs)
    if rows.empty:
        return f"No model has per-image results of both {first} and {second} on these images."
    if len(rows) == 1:
        only = rows.iloc[0]
        return (
            f"Top-1, {second} vs {first}: {signed(only['change'], 2)} pp, "
            f"{significance_text(only['p_value'])} (p = {only['p_value']:.2g})."
        )
    return (
        f"Top-1, {second} vs {first}: median {signed(rows['change'].median(), 2)} pp over "
        f"{len(rows)} models; significant for {(rows['p_value'] < SIGNIFICANCE).sum()} "
        f"(p < {SIGNIFICANCE})."
    )


def speed_up_summary(pairs: pd.DataFrame, first: str, second: str) -> str:
    """The median speed-up, for how many models it is significant, and the median size ratio."""
    rows = pairs_with_speed(pairs)
    if rows.empty:
        return f"No model has both {first} and {second} benchmarked in this configuration."
    medians = "" if len(rows) == 1 else f" (medians of {len(rows)} models)"
    return (
        f"{second} vs {first}: speed-up {number(rows['speed_up'].median(), 2)} ×"
        f"{_speed_significance(rows)}, size ratio {number(rows['size_ratio'].median(), 2)} ×"
        f"{medians}."
    )


def _speed_significance(rows: pd.DataFrame) -> str:
    """`, significant (p = 0.0078)` of one model, or for how many; empty without intervals."""
    known = rows[rows["speed_up_p"].notna()]
    if known.empty:
        return " (no interval: measured in different sessions)"
    if len(rows) == 1:
        only = known.iloc[0]
        sessions = "" if only["speed_paired"] else ", across sessions"
        p_value = only["speed_up_p"]
        return f", {significance_text(p_value)} (p = {p_value:.2g}{sessions})"
    return f", significant for {(known['speed_up_p'] < SIGNIFICANCE).sum()} of {len(rows)}"


def baseline_summary(differences: pd.DataFrame, baseline: str) -> str:
    """Number of builds that are significantly better, worse, or not different from the baseline."""
    significant = differences["p_value"] < SIGNIFICANCE
    better = int((significant & (differences["change"] > 0)).sum())
    worse = int((significant & (differences["change"] < 0)).sum())
    counts = {
        "less accurate": worse,
        "more accurate": better,
        "without a significant difference": len(differences) - better - worse,
    }
    parts = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
    count = plural(len(differences), "build")
    return f"{count} vs {baseline}: {parts} (significance: p < {SIGNIFICANCE})."
