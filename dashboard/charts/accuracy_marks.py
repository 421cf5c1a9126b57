"""Marks of the accuracy charts: points with intervals, arrows, the recommended build."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import (
    MARKER_SIZE,
    highlight,
    hover_cards,
    legend_mark,
    safe,
    whiskers,
)
from dashboard.charts.names import Segment, brief_names
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
OTHER_MODELS = "other models"


class ColorBy(StrEnum):
    """What the color of a mark means; its symbol is always the precision."""

    PRECISION = "precision"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class _Series:
    """Marks of one color and symbol, and the group that the legend switches."""

    rows: pd.DataFrame
    symbol: str
    color: str
    group: str


def add_marks(
    figure: go.Figure,
    points: pd.DataFrame,
    x: str,
    front: list[int],
    palette: Palette,
    color_by: ColorBy = ColorBy.PRECISION,
) -> None:
    """Adds one trace per precision (and model, if colored by it), within and outside constraints.

    `front`: row labels of the Pareto front. With more than MAX_INTERVALS points, marks are smaller
    and only the recommended build has an interval.
    """
    crowded = len(points) > MAX_INTERVALS
    for series in _series(points, palette, color_by):
        figure.add_trace(_marks(series, x, front, crowded))
        outside = series.group == OUTSIDE_CONSTRAINTS
        by_model = color_by == ColorBy.MODEL
        symbol = "circle-open" if outside else "circle" if by_model else series.symbol
        _add_to_legend(figure, series.group, symbol, series.color)
    if color_by == ColorBy.MODEL:
        for precision, symbol in symbols().items():
            if (points["precision"] == precision).any():
                figure.add_trace(legend_mark(str(precision), symbol, palette.text))


def _series(points: pd.DataFrame, palette: Palette, color_by: ColorBy) -> list[_Series]:
    groups = _model_groups(points, palette) if color_by == ColorBy.MODEL else None
    found = []
    for precision, symbol in symbols().items():
        rows = points[points["precision"] == precision]
        inside, outside = rows[rows["meets"]], rows[~rows["meets"].astype(bool)]
        if groups is None:
            found.append(_Series(inside, symbol, palette.precisions[precision], str(precision)))
        else:
            for (group, color), part in inside.groupby(inside["label"].map(groups), sort=False):
                found.append(_Series(part, symbol, color, group))
        found.append(_Series(outside, symbol, palette.published, OUTSIDE_CONSTRAINTS))
    return [series for series in found if len(series.rows)]


def _model_groups(points: pd.DataFrame, palette: Palette) -> dict[str, tuple[str, str]]:
    """Legend entry and color of each label: the most accurate models have their own."""
    order = list(dict.fromkeys(points.sort_values("top1", ascending=False)["label"]))
    names = brief_names(order)
    own = {
        label: (safe(names[label]), color)
        for label, color in zip(order, palette.models, strict=False)
    }
    return {label: own.get(label, (OTHER_MODELS, palette.published)) for label in order}


def _add_to_legend(figure: go.Figure, group: str, symbol: str, color: str) -> None:
    """Adds one filled mark per group, independent of its first point."""
    if any(trace.legendgroup == group and trace.showlegend for trace in figure.data):
        return
    figure.add_trace(legend_mark(group, symbol, color))


def _marks(series: _Series, x: str, front: list[int], crowded: bool) -> go.Scatter:
    rows, symbol, color = series.rows, series.symbol, series.color
    shown = rows.index[rows["recommended"].astype(bool)] if crowded else rows.index
    filled = rows.index.isin(front)
    hollow = [
        f"{symbol}-open-dot" if estimated else f"{symbol}-open" for estimated in rows["estimated"]
    ]
    flags = _flags(rows)
    above = [flag == UNRELIABLE for flag in flags]
    tags = [TAG.format(tag) if tag else "" for tag in rows["tag"]]
    flags = [f"{flag}{tag}" for flag, tag in zip(flags, tags, strict=True)]
    return go.Scatter(
        x=rows[x],
        y=rows["top1"],
        error_y=_interval(rows, "top1", shown, color),
        error_x=_interval(rows, x, shown, color),
        mode="markers+text" if any(flags) else "markers",
        text=flags,
        textposition=["top right" if over else "middle right" for over in above],
        name=series.group,
        legendgroup=series.group,
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


def _flags(rows: pd.DataFrame) -> list[str]:
    return [_flag(*values) for values in zip(*(rows[c] for c in _FLAG_COLUMNS), strict=True)]


def tag_boxes(points: pd.DataFrame, x: str) -> list[tuple[float, float, str, str]]:
    """The texts beside marks as (x, y, text, yanchor), which names must not cover."""
    flags = _flags(points)
    texts = [_MARKUP.sub("", f"{flag}{TAG}") for flag in flags]
    texts = [
        text.format(tag) if tag else "" for text, tag in zip(texts, points["tag"], strict=True)
    ]
    anchors = ["bottom" if flag == UNRELIABLE else "middle" for flag in flags]
    rows = zip(points[x], points["top1"], flags, texts, anchors, strict=True)
    return [
        (place, top1, text or _MARKUP.sub("", flag), anchor)
        for place, top1, flag, text, anchor in rows
        if text or flag
    ]


_MARKUP = re.compile(r"<[^>]*>")
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


def arrows(points: pd.DataFrame, x: str) -> list[Segment]:
    """From fp32 to each lower precision of the same model, weights and preprocessing.

    Results that are not comparable get none. With more than MAX_ARROWS models there are none, as
    they would hide the marks.
    """
    comparable = points[points["not_comparable"].isna()]
    joined = comparable[comparable.duplicated(LINE_KEYS, keep=False)]
    if len(joined.drop_duplicates(LINE_KEYS)) > MAX_ARROWS:
        return []
    found: list[Segment] = []
    for _, rows in joined.groupby(LINE_KEYS, sort=False):
        starts = rows[rows["precision"] == REFERENCE]
        for row in rows[rows["precision"] != REFERENCE].to_dict("records") if len(starts) else []:
            same = starts[starts["runtime"] == row["runtime"]]
            start = (same if len(same) else starts).iloc[0]
            found.append((start[x], start["top1"], row[x], row["top1"]))
    return found


def add_arrows(figure: go.Figure, drawn: Sequence[Segment], palette: Palette) -> None:
    """Adds `arrows` as one trace."""
    if drawn:
        figure.add_trace(
            go.Scatter(
                x=[value for x0, _, x1, _ in drawn for value in (x0, x1, None)],
                y=[value for _, y0, _, y1 in drawn for value in (y0, y1, None)],
                mode="lines+markers",
                line={"color": palette.published, "width": 1},
                marker={
                    "symbol": "arrow",
                    "angleref": "previous",
                    "color": palette.published,
                    "size": [0, 9, 0] * len(drawn),
                    "standoff": MARKER_SIZE / 2,
                },
                hoverinfo="skip",
                name="fp32 → lower precision",
                showlegend=False,
            )
        )


def add_recommended(figure: go.Figure, points: pd.DataFrame, x: str, palette: Palette) -> None:
    """Adds a ring around the recommended build; the legend names it."""
    row = points[points["recommended"].astype(bool)]
    if row.empty:
        return
    name = f"{RECOMMENDED}: {safe(row['label'].iloc[0])} {row['precision'].iloc[0]}"
    ring = highlight(row[x], row["top1"], name, "circle-open", palette)
    figure.add_trace(ring.update(legendrank=1))
