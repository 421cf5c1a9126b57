"""One sentence above a chart, computed from what it shows."""

from __future__ import annotations

import pandas as pd

from dashboard.formats import number, plural, signed


def of_frontier(points: pd.DataFrame, kept: list[int]) -> str:
    """Which precisions nothing else beats."""
    if len(points) < 2:
        return "One result: measure another precision or model to compare."
    counts = points.iloc[kept]["precision"].value_counts()
    named = " and ".join(f"{precision} {count}" for precision, count in counts.items())
    return (
        f"{plural(len(kept), 'result')} of {len(points)} on the frontier ({named}): nothing else "
        f"measured is both faster and more accurate."
    )


def of_change(pairs: pd.DataFrame, first: str, second: str) -> str:
    """The median drop, and in how many models it is more than chance."""
    rows = pairs[pairs["drop"].notna()].drop_duplicates(["label", "dataset", "images"])
    if rows.empty:
        return f"No model has both {first} and {second} evaluated on these images, image by image."
    told = rows["p_value"] < 0.05
    if len(rows) == 1:
        only = rows.iloc[0]
        verdict = "more than chance" if told.iloc[0] else "no more than chance"
        return (
            f"{second} changes top-1 by {signed(only['drop'], 2)} points "
            f"(p = {only['p_value']:.2g}: {verdict})."
        )
    return (
        f"Median {signed(rows['drop'].median(), 2)} points over {len(rows)} models; "
        f"in {told.sum()} the change is more than chance (p < 0.05)."
    )


def of_speed(pairs: pd.DataFrame, first: str, second: str) -> str:
    """The median speed-up and size."""
    rows = pairs[pairs["speed_up"].notna()].drop_duplicates(["label", "batch", "threads"])
    if rows.empty:
        return f"No model has both {first} and {second} benchmarked in this setting."
    over = "" if len(rows) == 1 else f", medians of {len(rows)} models"
    return (
        f"{second} runs {number(rows['speed_up'].median(), 2)} × as many images/s as {first}, at "
        f"{number(rows['size_ratio'].median(), 2)} × the size{over}."
    )
