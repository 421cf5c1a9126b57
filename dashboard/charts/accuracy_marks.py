"""What stands on an accuracy chart: marks with intervals, arrows, the frontier, the one to ship."""

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
MOST_ARROWS = 40
MOST_INTERVALS = 60
CROWDED_SIZE = 7
SHIP = "to ship"
OUTSIDE = "outside the limits"
ROUGH = "\u00a0\u00a0\u00a0<b>?</b>"  # clear of the mark, its ring and the frontier
# Beside what was prepared otherwise than the rest, and is not compared with it.
APART = "\u00a0\u00a0<b>≠</b>"
WIDEST_RIGHT = 0.65  # of the axis; beyond, a name on the right would leave the chart


def add_precisions(
    figure: go.Figure, points: pd.DataFrame, x: str, best: list[int], palette: Palette
) -> None:
    """One trace a precision and side of the limits.

    Over MOST_INTERVALS points, intervals would hide the marks: only the one to ship keeps its own,
    and the marks are smaller.
    """
    crowded = len(points) > MOST_INTERVALS
    for precision, symbol in symbols().items():
        rows = points[points["precision"] == precision]
        for meets, color in ((True, palette.precisions[precision]), (False, palette.published)):
            some = rows[rows["meets"] == meets]
            if len(some):
                group = str(precision) if meets else OUTSIDE
                figure.add_trace(_marks(some, x, symbol, color, group, best, crowded))
                _add_to_legend(figure, group, symbol if meets else "circle-open", color)


def _add_to_legend(figure: go.Figure, group: str, symbol: str, color: str) -> None:
    """One filled mark a precision, whatever its first point looks like."""
    if any(trace.legendgroup == group and trace.showlegend for trace in figure.data):
        return
    figure.add_trace(legend_mark(group, symbol, color))


def _marks(
    rows: pd.DataFrame,
    x: str,
    symbol: str,
    color: str,
    group: str,
    best: list[int],
    crowded: bool,
) -> go.Scatter:
    shown = rows.index[rows["ship"].astype(bool)] if crowded else rows.index
    filled = rows.index.isin(best)
    hollow = [f"{symbol}-open-dot" if known else f"{symbol}-open" for known in rows["estimated"]]
    beside = [_beside(*told) for told in zip(*(rows[c] for c in _BESIDE), strict=True)]
    return go.Scatter(
        x=rows[x],
        y=rows["top1"],
        error_y=_interval(rows, "top1", shown, color),
        error_x=_interval(rows, x, shown, color),
        mode="markers+text",
        text=beside,
        textposition=["top right" if text == ROUGH else "middle right" for text in beside],
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
        customdata=_told(rows),
        hovertemplate="%{customdata[0]}<extra></extra>",
    )


def _told(rows: pd.DataFrame) -> np.ndarray:
    """The hover card and the key of each row; an array, whose entries plotly takes as they are."""
    return np.array(list(zip(hover_cards(rows), rows["key"], strict=True)), dtype=object)


_BESIDE = ("collapsed", "apart", "rough")


def _beside(collapsed: bool, apart: str | None, rough: bool) -> str:
    """The word beside a mark: what is wrong with its accuracy, else a `?` for a rough speed."""
    if collapsed:
        return "collapsed"
    return APART if isinstance(apart, str) else ROUGH if rough else ""


def _interval(rows: pd.DataFrame, value: str, shown: pd.Index, color: str) -> dict[str, Any] | None:
    """Whiskers from `<value>_low` to `<value>_high` at the rows of `shown`."""
    low, high = f"{value}_low", f"{value}_high"
    if low not in rows or shown.empty:
        return None
    some = rows.index.isin(shown)
    lows, highs = rows[low].where(some, rows[value]), rows[high].where(some, rows[value])
    return whiskers(rows[value], lows, highs, color, width=4)


def add_arrows(figure: go.Figure, points: pd.DataFrame, x: str, palette: Palette) -> None:
    """From fp32 to each lower precision of one model, weights and preprocessing; nothing else.

    What stands apart is not joined to anything. Over MOST_ARROWS models they would hide what they
    join.
    """
    together = points[points["apart"].isna()]
    joined = together[together.duplicated(LINE_KEYS, keep=False)]
    if len(joined.drop_duplicates(LINE_KEYS)) > MOST_ARROWS:
        return
    xs: list[float | None] = []
    ys: list[float | None] = []
    for _, rows in joined.groupby(LINE_KEYS, sort=False):
        starts = rows[rows["precision"] == REFERENCE]
        for row in rows[rows["precision"] != REFERENCE].to_dict("records") if len(starts) else []:
            xs += [starts.iloc[0][x], row[x], None]
            ys += [starts.iloc[0]["top1"], row["top1"], None]
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


def add_ship(figure: go.Figure, points: pd.DataFrame, x: str, palette: Palette) -> None:
    row = points[points["ship"].astype(bool)]
    if row.empty:
        return
    low, high = log_range(points[x])
    room = (math.log10(float(row[x].iloc[0])) - low) / (high - low) < WIDEST_RIGHT
    figure.add_trace(highlight(row[x], row["top1"], SHIP, "circle-open", palette))
    for place, top1, label in zip(row[x], row["top1"], row["label"], strict=True):
        figure.add_annotation(
            x=math.log10(float(place)),
            y=top1,
            text=safe(brief_names(points["label"])[label]),
            showarrow=False,
            xanchor="left" if room else "right",
            yanchor="top" if room else "bottom",
            xshift=12 if room else -12,
            yshift=-6 if room else 6,
            bgcolor=palette.background,
            opacity=0.92,
            font={"size": 12, "color": palette.text},
        )
