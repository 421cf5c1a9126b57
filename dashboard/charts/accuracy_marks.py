"""Marks of the accuracy charts: points with intervals, arrows, the recommended build."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import (
    MARKER_SIZE,
    highlight,
    hover_cards,
    legend_mark,
    log_range,
    safe,
    whiskers,
)
from dashboard.charts.names import brief_names
from dashboard.palette import Palette, symbols
from engine.specs.precisions import REFERENCE

LINE_KEYS = ["label", "weights_digest", "preprocess"]
MAX_ARROWS = 40
MAX_INTERVALS = 60
CROWDED_SIZE = 7
RECOMMENDED = "recommended"
OUTSIDE_CONSTRAINTS = "outside the constraints"
UNRELIABLE = "\u00a0\u00a0\u00a0<b>?</b>"  # with space for the mark, its ring and the Pareto front
# Beside results with another preprocessing, which are not comparable with the rest.
NOT_COMPARABLE = "\u00a0\u00a0<b>≠</b>"
TAG = "\u00a0\u00a0<i>{}</i>"  # the runtime, where several are shown
NAME_RIGHT_MAX = 0.65  # share of the axis; beyond it, a name on the right leaves the chart


def add_precisions(
    figure: go.Figure, points: pd.DataFrame, x: str, front: list[int], palette: Palette
) -> None:
    """Adds one trace per precision for points within and outside the constraints.

    `front`: row labels of the Pareto front. With more than MAX_INTERVALS points, marks are smaller
    and only the recommended build has an interval.
    """
    crowded = len(points) > MAX_INTERVALS
    for precision, symbol in symbols().items():
        rows = points[points["precision"] == precision]
        for meets, color in ((True, palette.precisions[precision]), (False, palette.published)):
            selected = rows[rows["meets"] == meets]
            if len(selected):
                group = str(precision) if meets else OUTSIDE_CONSTRAINTS
                figure.add_trace(_marks(selected, x, symbol, color, group, front, crowded))
                _add_to_legend(figure, group, symbol if meets else "circle-open", color)


def _add_to_legend(figure: go.Figure, group: str, symbol: str, color: str) -> None:
    """Adds one filled mark per group, independent of its first point."""
    if any(trace.legendgroup == group and trace.showlegend for trace in figure.data):
        return
    figure.add_trace(legend_mark(group, symbol, color))


def _marks(
    rows: pd.DataFrame,
    x: str,
    symbol: str,
    color: str,
    group: str,
    front: list[int],
    crowded: bool,
) -> go.Scatter:
    shown = rows.index[rows["recommended"].astype(bool)] if crowded else rows.index
    filled = rows.index.isin(front)
    hollow = [
        f"{symbol}-open-dot" if estimated else f"{symbol}-open" for estimated in rows["estimated"]
    ]
    flags = [_flag(*values) for values in zip(*(rows[c] for c in _FLAG_COLUMNS), strict=True)]
    tags = [TAG.format(tag) if tag else "" for tag in rows["tag"]]
    above = [flag == UNRELIABLE for flag in flags]
    flags = [f"{flag}{tag}" for flag, tag in zip(flags, tags, strict=True)]
    return go.Scatter(
        x=rows[x],
        y=rows["top1"],
        error_y=_interval(rows, "top1", shown, color),
        error_x=_interval(rows, x, shown, color),
        mode="markers+text",
        text=flags,
        textposition=["top right" if over else "middle right" for over in above],
        name=group,
        legendgroup=group,
        showlegend=False,
        marker={
            "symbol": [
                symbol if full else open_ for full, open_ in zip(filled, hollow, strict=True)
            ],
            "size": CROWDED_SIZE if crowded else MARKER_SIZE,
            "color": color,
            "line": {"width": [1 if full else 2 for full in filled]},
        },
        selected={"marker": {"opacity": 1.0}},
        unselected={"marker": {"opacity": 0.85}},
        cliponaxis=False,
        customdata=_custom_data(rows),
        hovertemplate="%{customdata[0]}<extra></extra>",
    )


def _custom_data(rows: pd.DataFrame) -> np.ndarray:
    """Hover card and key of each row; plotly uses entries of an object array unchanged."""
    return np.array(list(zip(hover_cards(rows), rows["key"], strict=True)), dtype=object)


_FLAG_COLUMNS = ("collapsed", "not_comparable", "unreliable")


def _flag(collapsed: bool, not_comparable: str | None, unreliable: bool) -> str:
    """The text beside a mark: a problem of its accuracy, else `?` for an unreliable speed."""
    if collapsed:
        return "collapsed"
    return NOT_COMPARABLE if isinstance(not_comparable, str) else UNRELIABLE if unreliable else ""


def _interval(rows: pd.DataFrame, value: str, shown: pd.Index, color: str) -> dict[str, Any] | None:
    """Error bars from `<value>_low` to `<value>_high` for the rows in `shown`."""
    low, high = f"{value}_low", f"{value}_high"
    if low not in rows or shown.empty:
        return None
    drawn = rows.index.isin(shown)
    lows, highs = rows[low].where(drawn, rows[value]), rows[high].where(drawn, rows[value])
    return whiskers(rows[value], lows, highs, color, width=4)


def add_arrows(figure: go.Figure, points: pd.DataFrame, x: str, palette: Palette) -> None:
    """Adds arrows from fp32 to each lower precision of the same model, weights and preprocessing.

    Results that are not comparable get none. With more than MAX_ARROWS models none are drawn, as
    they would hide the marks.
    """
    comparable = points[points["not_comparable"].isna()]
    joined = comparable[comparable.duplicated(LINE_KEYS, keep=False)]
    if len(joined.drop_duplicates(LINE_KEYS)) > MAX_ARROWS:
        return
    xs: list[float | None] = []
    ys: list[float | None] = []
    for _, rows in joined.groupby(LINE_KEYS, sort=False):
        starts = rows[rows["precision"] == REFERENCE]
        for row in rows[rows["precision"] != REFERENCE].to_dict("records") if len(starts) else []:
            same = starts[starts["runtime"] == row["runtime"]]
            start = (same if len(same) else starts).iloc[0]
            xs += [start[x], row[x], None]
            ys += [start["top1"], row["top1"], None]
    if xs:
        figure.add_trace(
            go.Scatter(
                x=xs,
                y=ys,
                mode="lines+markers",
                line={"color": palette.published, "width": 1},
                marker={
                    "symbol": "arrow",
                    "angleref": "previous",
                    "color": palette.published,
                    "size": [0, 9, 0] * (len(xs) // 3),
                    "standoff": MARKER_SIZE / 2,
                },
                hoverinfo="skip",
                name="fp32 → lower precision",
                showlegend=False,
            )
        )


def add_recommended(figure: go.Figure, points: pd.DataFrame, x: str, palette: Palette) -> None:
    """Adds a ring and the name of the recommended build.

    A name on the left is below the mark in a chart of throughput, where the Pareto front comes from
    the upper left, and above it in a chart of compute, where it comes from the lower left.
    """
    row = points[points["recommended"].astype(bool)]
    if row.empty:
        return
    low, high = log_range(points[x])
    name_right = (math.log10(float(row[x].iloc[0])) - low) / (high - low) < NAME_RIGHT_MAX
    name_below = name_right or x == "images_per_s"
    figure.add_trace(highlight(row[x], row["top1"], RECOMMENDED, "circle-open", palette))
    for place, top1, label in zip(row[x], row["top1"], row["label"], strict=True):
        figure.add_annotation(
            x=math.log10(float(place)),
            y=top1,
            text=safe(brief_names(points["label"])[label]),
            showarrow=False,
            xanchor="left" if name_right else "right",
            yanchor="top" if name_below else "bottom",
            xshift=12 if name_right else -12,
            yshift=-6 if name_below else 6,
            bgcolor=palette.background,
            opacity=0.92,
            font={"size": 12, "color": palette.text},
        )
