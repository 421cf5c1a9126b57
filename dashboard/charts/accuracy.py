"""Accuracy against what it costs: compute, and time.

Filled marks are on the frontier, hollow ones are beaten; grey ones do not meet the limits.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import (
    MARKER_SIZE,
    hover_card,
    layout,
    log_range,
    log_ticks,
    percent_range,
    safe,
)
from dashboard.charts.published import published_trace
from dashboard.comparables import frontier
from dashboard.palette import SYMBOLS, Palette

STEP_ASIDE = 0.035  # of the axis
LINE_KEYS = ["label", "weights_digest", "preprocess"]
MOST_ARROWS = 40
SHIP = "to ship"
OUTSIDE = "outside the limits"


def accuracy_against_compute(
    points: pd.DataFrame, published: pd.DataFrame | None, palette: Palette, images: str
) -> go.Figure:
    """Top-1 over GMACs; `published` as from charts.published.with_gmacs, or None to leave it out.

    `images` names what accuracy was measured on, for the axis. Of `points`, `key` (what a
    selection returns), `meets` (the limits) and `ship` (the one) are optional columns.
    """
    figure = go.Figure()
    points = _complete(points)
    xs = [*points["compute_gmacs"], *([] if published is None else published["gmacs"])]
    points = points.assign(drawn_at=_side_by_side(points, xs))
    if published is not None:
        figure.add_trace(published_trace(published, palette))
    _add_arrows(figure, points, "drawn_at", palette)
    best = _best(points, points["compute_gmacs"])
    _add_precisions(figure, points, "drawn_at", best, palette)
    _add_ship(figure, points, "drawn_at", palette)
    ys = [] if published is None else list(published["top1"])
    approximate = published is not None and bool(published["approximate"].any())
    title = "GMACs an image (log scale), ← less compute"
    _axes(figure, points, xs, ys, title + (", published ~" if approximate else ""), images)
    return layout(figure, palette)


def _side_by_side(points: pd.DataFrame, xs: list[float]) -> pd.Series:
    """Where precisions of equal compute are drawn, so that none hides another."""
    low, high = log_range(xs)
    steps = points["precision"].map({str(p): i - 1 for i, p in enumerate(SYMBOLS)}).astype(float)
    return points["compute_gmacs"].astype(float) * 10 ** (steps * STEP_ASIDE * (high - low))


def accuracy_against_throughput(
    points: pd.DataFrame, palette: Palette, images: str, setting: str
) -> go.Figure:
    """Top-1 over images/s with the frontier of what no other point beats on both.

    Columns as for `accuracy_against_compute`.
    """
    figure = go.Figure()
    points = _complete(points)
    _add_arrows(figure, points, "images_per_s", palette)
    best = _best(points, -points["images_per_s"])
    _add_frontier(figure, points.loc[best], palette)
    _add_precisions(figure, points, "images_per_s", best, palette)
    _add_ship(figure, points, "images_per_s", palette)
    title = f"images/s (log scale), {setting}, faster →"
    xs = [*points["images_per_s"], *points["images_per_s_low"], *points["images_per_s_high"]]
    _axes(figure, points, xs, [], title, images)
    return layout(figure, palette)


def _complete(points: pd.DataFrame) -> pd.DataFrame:
    given = {"meets": True, "ship": False, "key": ""}
    missing = {name: value for name, value in given.items() if name not in points}
    fallen = points["at_chance"].fillna(False).astype(bool)
    return points.assign(**missing, collapsed=fallen).reset_index(drop=True)


def _best(points: pd.DataFrame, costs: pd.Series) -> list[int]:
    """Row labels of the frontier, by rising cost; collapsed builds never belong to it."""
    sound = points[~points["collapsed"]]
    return [sound.index[place] for place in frontier(costs[sound.index], sound["top1"])]


def _add_precisions(
    figure: go.Figure, points: pd.DataFrame, x: str, best: list[int], palette: Palette
) -> None:
    for precision, symbol in SYMBOLS.items():
        rows = points[points["precision"] == precision]
        for meets, color in ((True, palette.precisions[precision]), (False, palette.published)):
            some = rows[rows["meets"] == meets]
            if len(some):
                group = str(precision) if meets else OUTSIDE
                figure.add_trace(_marks(some, x, symbol, color, group, best))
                _add_to_legend(figure, group, symbol if meets else "circle-open", color)


def _add_to_legend(figure: go.Figure, group: str, symbol: str, color: str) -> None:
    """One filled mark a precision, whatever its first point looks like."""
    if any(trace.legendgroup == group and trace.showlegend for trace in figure.data):
        return
    figure.add_trace(
        go.Scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=group,
            legendgroup=group,
            showlegend=True,
            marker={"symbol": symbol, "size": MARKER_SIZE, "color": color},
        )
    )


def _marks(
    rows: pd.DataFrame,
    x: str,
    symbol: str,
    color: str,
    group: str,
    best: list[int],
) -> go.Scatter:
    filled = rows.index.isin(best)
    return go.Scatter(
        x=rows[x],
        y=rows["top1"],
        error_y=_interval(rows, "top1", "top1_low", "top1_high", color),
        error_x=_interval(rows, x, f"{x}_low", f"{x}_high", color),
        mode="markers+text",
        text=["collapsed" if fallen else "" for fallen in rows["collapsed"]],
        textposition="middle right",
        name=group,
        legendgroup=group,
        showlegend=False,
        marker={
            "symbol": [symbol if full else f"{symbol}-open" for full in filled],
            "size": MARKER_SIZE,
            "color": color,
            "line": {"width": [1 if full else 2 for full in filled]},
        },
        selected={"marker": {"opacity": 1.0}},
        unselected={"marker": {"opacity": 0.85}},
        cliponaxis=False,
        customdata=[[hover_card(row), row["key"]] for row in rows.to_dict("records")],
        hovertemplate="%{customdata[0]}<extra></extra>",
    )


def _interval(
    rows: pd.DataFrame, value: str, low: str, high: str, color: str
) -> dict[str, Any] | None:
    if low not in rows:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": rows[high] - rows[value],
        "arrayminus": rows[value] - rows[low],
        "thickness": 1.4,
        "width": 4,
        "color": color,
    }


def _add_arrows(figure: go.Figure, points: pd.DataFrame, x: str, palette: Palette) -> None:
    """From fp32 to each lower precision of one model, weights and preprocessing; nothing else.

    Over MOST_ARROWS models they would hide what they join.
    """
    groups = [rows for _, rows in points.groupby(LINE_KEYS, sort=False) if len(rows) > 1]
    xs: list[float | None] = []
    ys: list[float | None] = []
    for rows in groups if len(groups) <= MOST_ARROWS else []:
        starts = rows[rows["precision"] == "fp32"]
        for row in rows[rows["precision"] != "fp32"].to_dict("records") if len(starts) else []:
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


def _add_frontier(figure: go.Figure, best: pd.DataFrame, palette: Palette) -> None:
    if len(best) < 2:
        return
    figure.add_trace(
        go.Scatter(
            x=best["images_per_s"],
            y=best["top1"],
            mode="lines",
            line={"color": palette.text, "width": 1.2, "dash": "dot", "shape": "vh"},
            name="frontier",
            hoverinfo="skip",
        )
    )


def _add_ship(figure: go.Figure, points: pd.DataFrame, x: str, palette: Palette) -> None:
    row = points[points["ship"].astype(bool)]
    if row.empty:
        return
    left_half = float(row[x].iloc[0]) < float(points[x].astype(float).median())
    figure.add_trace(
        go.Scatter(
            x=row[x],
            y=row["top1"],
            mode="markers+text",
            text=[safe(label) for label in row["label"]],
            textposition="top right" if left_half else "top left",
            textfont={"size": 12, "color": palette.text},
            name=SHIP,
            marker={
                "symbol": "circle-open",
                "size": 2 * MARKER_SIZE,
                "color": palette.text,
                "line": {"width": 2},
            },
            cliponaxis=False,
            hoverinfo="skip",
        )
    )


def _axes(
    figure: go.Figure,
    points: pd.DataFrame,
    xs: list[float],
    more_ys: list[float],
    x_title: str,
    images: str,
) -> None:
    ticks, texts = log_ticks(xs)
    figure.update_xaxes(
        type="log",
        range=log_range(xs),
        tickvals=ticks,
        ticktext=texts,
        title={"text": x_title},
    )
    lows, highs = [*points["top1_low"], *more_ys], [*points["top1_high"], *more_ys]
    figure.update_yaxes(
        range=percent_range(lows, highs),
        title={"text": f"top-1 (%), {images}, ↑ better"},
    )
