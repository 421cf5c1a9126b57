"""The leaderboard below the chart of Compare: all its builds and the published rows, sortable."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.accuracy import front_keys
from dashboard.charts.cost_axes import CostAxis, axis_named
from dashboard.components.compare.side_by_side import pick_keys
from dashboard.components.results.table import table_column
from dashboard.formats import plural
from engine.results.columns import COLUMNS
from engine.results.groups import accuracy_points
from engine.results.published import with_estimates, with_gmacs
from engine.results.recommend import Constraints
from engine.runtimes.registry import label_of, name_in

KEY = "leaderboard"
PUBLISHED = "published"
FIGURES = (
    "top1", "top1_low", "top1_high", "images_per_s", "speed_up", "latency", "compute_gmacs",
    "size_mb", "peak_rss_mb",
)  # fmt: skip
LETTER_PX = 8
MAX_NAME_PX = 460
HEIGHT_PX = 420


def leaderboard(rows: pd.DataFrame, constraints: Constraints, published: bool) -> None:
    """A table of the chart's points; selected rows are added to the side-by-side comparison."""
    points = with_estimates(accuracy_points(rows))
    if points.empty:
        return
    axis = axis_named(str(st.session_state.get("x")), constraints.percentile)
    table = leaderboard_rows(
        points, axis, constraints, with_gmacs(queries.published()) if published else None
    )
    st.markdown("**Leaderboard**")
    st.dataframe(
        table.drop(columns="key"),
        key=KEY,
        hide_index=True,
        placeholder="–",
        height=min(HEIGHT_PX, 36 * (len(table) + 1) + 4),
        column_config=_config(table, constraints),
        on_select=lambda: pick_keys(selected_keys(table["key"])),
        selection_mode="multi-row",
        alt=f"Leaderboard: {plural(len(table), 'row')} with accuracy, speed and costs",
    )


def leaderboard_rows(
    points: pd.DataFrame,
    axis: CostAxis,
    constraints: Constraints,
    published: pd.DataFrame | None,
) -> pd.DataFrame:
    """The recommended build, then those within the constraints by top-1; published rows by top-1.

    `points`: as from `with_estimates`, with `meets` and `recommended`; `published`: as from
    `with_gmacs`.
    """
    order = points.sort_values(["recommended", "meets", "top1"], ascending=False, kind="stable")
    front = front_keys(points, axis)
    table = pd.DataFrame(
        {
            "key": order["key"],
            "label": order["label"],
            "precision": order["precision"],
            "runtime": order["runtime"].map(lambda name: label_of(name_in(str(name))), "ignore"),
            "status": [
                _status(*row) for row in zip(order["recommended"], order["meets"], strict=True)
            ],
            "front": order["key"].isin(front),
            **{
                name: order[constraints.percentile.column if name == "latency" else name]
                for name in FIGURES
            },
        }
    )
    if published is None:
        return table.reset_index(drop=True)
    rows = published.sort_values("top1", ascending=False)
    reference = pd.DataFrame(
        {
            "key": "",
            "label": rows["model_id"],
            "precision": "fp32",
            "runtime": None,
            "status": PUBLISHED,
            "top1": rows["top1"],
            "compute_gmacs": rows["gmacs"],
        }
    )
    return pd.concat([table, reference.reindex(columns=table.columns)], ignore_index=True)


def _status(recommended: bool, meets: bool) -> str:
    if recommended:
        return "recommended"
    return "within constraints" if meets else "outside"


def _config(table: pd.DataFrame, constraints: Constraints) -> dict[str, Any]:
    """Titles, digits and widths; the model's column is as wide as its longest name."""
    longest = int(table["label"].str.len().max())
    text = st.column_config.TextColumn
    config: dict[str, Any] = {
        "label": text("model", width=min(MAX_NAME_PX, 24 + LETTER_PX * longest)),
        "precision": text("precision", width="small"),
        "runtime": text("runtime"),
        "status": text(
            "status", help="Under the constraints above, by figures; published: not measured here."
        ),
        "front": st.column_config.CheckboxColumn(
            "Pareto", help="On the Pareto front of the chart above."
        ),
    }
    for name in FIGURES:
        column = COLUMNS[constraints.percentile.column if name == "latency" else name]
        config[name] = table_column(column)
    return config


def selected_keys(keys: pd.Series) -> list[str]:
    """The keys of the selected rows; published rows have none."""
    rows = st.session_state[KEY]["selection"]["rows"]
    return [str(keys.iloc[row]) for row in rows if row < len(keys) and keys.iloc[row]]
