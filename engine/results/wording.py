"""Sentences about results, shared by pages, report and terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd

from engine.common.stats import PairedDifference
from engine.text import number, plural, signed

SIGNIFICANCE = 0.05
"""A change with a smaller p is called significant."""


def verdict(p_value: float) -> str:
    """Whether a change may be one of chance."""
    return "more than chance" if p_value < SIGNIFICANCE else "no more than chance"


def accuracy_of(row: dict[str, Any]) -> str:
    """`80.50 % top-1 (78.50 to 82.50 on 1,000 images of val)` of a row of results."""
    low, high = number(row["top1_low"], 2), number(row["top1_high"], 2)
    return (
        f"{number(row['top1'], 2)} % top-1 ({low} to {high} on {row['images']:,.0f} images of "
        f"{row['dataset']})"
    )


def interval_of(found: PairedDifference) -> str:
    """`paired 95 % interval −0.98 to −0.10, p = 0.063`, in percentage points."""
    low, high = signed(100 * found.low, 2), signed(100 * found.high, 2)
    return f"paired 95 % interval {low} to {high}, p = {found.p_value:.2g}"


def of_frontier(points: pd.DataFrame, kept: list[int]) -> str:
    """Which precisions are on the Pareto front."""
    if len(points) < 2:
        return "One result: measure another precision or model to compare."
    counts = points.iloc[kept]["precision"].value_counts()
    named = " and ".join(f"{precision} {count}" for precision, count in counts.items())
    return (
        f"{plural(len(kept), 'result')} of {len(points)} on the frontier ({named}): nothing else "
        f"measured is both faster and more accurate."
    )


def with_change(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of precisions with a change of top-1, one row a model and set of images."""
    return pairs[pairs["drop"].notna()].drop_duplicates(["label", "dataset", "images"])


def with_speed_up(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of precisions with a speed-up, one row a model and setting."""
    return pairs[pairs["speed_up"].notna()].drop_duplicates(["label", "batch", "threads"])


def of_change(pairs: pd.DataFrame, first: str, second: str) -> str:
    """The median change of top-1 over models, and in how many of them it is significant."""
    rows = with_change(pairs)
    if rows.empty:
        return f"No model has both {first} and {second} evaluated on these images, image by image."
    if len(rows) == 1:
        only = rows.iloc[0]
        return (
            f"{second} changes top-1 by {signed(only['drop'], 2)} points "
            f"(p = {only['p_value']:.2g}: {verdict(only['p_value'])})."
        )
    return (
        f"Median {signed(rows['drop'].median(), 2)} points over {len(rows)} models; "
        f"in {(rows['p_value'] < SIGNIFICANCE).sum()} the change is more than chance "
        f"(p < {SIGNIFICANCE})."
    )


def of_speed(pairs: pd.DataFrame, first: str, second: str) -> str:
    """The median speed-up and size."""
    rows = with_speed_up(pairs)
    if rows.empty:
        return f"No model has both {first} and {second} benchmarked in this setting."
    over = "" if len(rows) == 1 else f", medians of {len(rows)} models"
    return (
        f"{second} runs {number(rows['speed_up'].median(), 2)} × as many images/s as {first}, at "
        f"{number(rows['size_ratio'].median(), 2)} × the size{over}."
    )


def of_reference(found: pd.DataFrame, reference: str) -> str:
    """How many builds are better than a reference, how many worse, of how many it is open."""
    significant = found["p_value"] < SIGNIFICANCE
    better = int((significant & (found["change"] > 0)).sum())
    worse = int((significant & (found["change"] < 0)).sum())
    counts = {
        "less accurate": worse,
        "more accurate": better,
        "not told apart by these images": len(found) - better - worse,
    }
    parts = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
    return f"Of {plural(len(found), 'build')} against {reference}: {parts} (p < {SIGNIFICANCE})."
