"""The rows that a recommendation chooses from, with their accuracy drops."""

from __future__ import annotations

import pandas as pd

from db.enums import Precision
from engine.results.builds import MEASURED_HERE
from engine.results.groups import accuracy_points, is_demo
from engine.results.reading import with_ran_in
from engine.specs import DEFAULT_RUNTIME
from engine.specs.comparability import SAME_EVALUATION, SAME_MODEL


def only_real_or_only_demo(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without those of the built-in demo, or only those where only it was evaluated.

    The demo is never mixed with real results in a headline, a median or a default.
    """
    demo = is_demo(rows)
    evaluated = demo[rows["evaluation_id"].notna()]
    shown = evaluated if len(evaluated) else demo
    return rows[demo == bool(len(shown) and shown.all())]


def comparable_points(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per evaluation that is comparable with the others.

    `rows`: as from `with_not_comparable`.
    """
    points = accuracy_points(rows)
    return points[points["not_comparable"].isna()]


def candidates(points: pd.DataFrame) -> pd.DataFrame:
    """The rows of `comparable_points` that have a speed, with their accuracy drops.

    The drops are taken from `points` unless a wider table gave them already.
    """
    known = {"fp32_id", "fp32_runtime", "drop_pp"} <= set(points)
    measured = points if known else with_accuracy_drops(points)
    return measured[measured["images_per_s"].notna()]


def with_accuracy_drops(points: pd.DataFrame) -> pd.DataFrame:
    """Adds `fp32_id` (evaluation), `fp32_runtime` and `drop_pp`: top-1 of fp32 minus the row's, pp.

    fp32 of the same model on the same images, in the same runtime where it was evaluated there,
    else in the default one (`fp32_runtime` is its name then, else missing). All are missing without
    such an evaluation; the drop of fp32 itself is 0.
    """
    here = points["origin"] == MEASURED_HERE
    points = with_ran_in(points, here)
    keys = [*SAME_MODEL, *SAME_EVALUATION]
    fp32 = points[(points["precision"] == Precision.FP32) & points["evaluation_id"].notna()]
    found = ["top1", "evaluation_id"]
    same, default = (
        points[on].merge(
            rows.drop_duplicates(on)[[*on, *found]], on=on, how="left", validate="many_to_one"
        )
        for on, rows in (
            ([*keys, "ran_in"], fp32),
            (keys, fp32[fp32["ran_in"] == DEFAULT_RUNTIME]),
        )
    )
    reference = same[found].fillna(default[found])
    elsewhere = same["evaluation_id"].isna() & default["evaluation_id"].notna()
    names = pd.Series([DEFAULT_RUNTIME if other else None for other in elsewhere], dtype=object)
    return points.drop(columns="ran_in").assign(
        fp32_id=reference["evaluation_id"].to_numpy(),
        fp32_runtime=names.to_numpy(),
        drop_pp=reference["top1"].to_numpy() - points["top1"].to_numpy(),
    )
