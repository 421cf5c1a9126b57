"""Accuracy against what it costs: compute, and time."""

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
)
from dashboard.charts.published import published_trace
from dashboard.comparables import frontier
from dashboard.palette import SYMBOLS, Palette

STEP_ASIDE = 0.035  # of the axis
LINE_KEYS = ["label", "weights_digest", "preprocess"]


def accuracy_against_compute(
    points: pd.DataFrame, published: pd.DataFrame | None, palette: Palette, images: str
) -> go.Figure:
    """Top-1 over GMACs; `published` as from charts.published.with_gmacs, or None to leave it out.

    `images` names what accuracy was measured on, for the axis.
    """
    figure = go.Figure()
    xs = [*points["compute_gmacs"], *([] if published is None else published["gmacs"])]
    points = points.assign(drawn_at=_side_by_side(points, xs))
    if published is not None:
        figure.add_trace(published_trace(published, palette))
    _add_links(figure, points, "drawn_at", palette)
    _add_precisions(figure, points, "drawn_at", palette)
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
    """Top-1 over images/s with the frontier of what no other point beats on both."""
    figure = go.Figure()
    _add_links(figure, points, "images_per_s", palette)
    _add_frontier(figure, points, palette)
    _add_precisions(figure, points, "images_per_s", palette)
    title = f"images/s (log scale), {setting}, faster →"
    xs = [*points["images_per_s"], *points["images_per_s_low"], *points["images_per_s_high"]]
    _axes(figure, points, xs, [], title, images)
    return layout(figure, palette)


def _add_precisions(figure: go.Figure, points: pd.DataFrame, x: str, palette: Palette) -> None:
    for precision, symbol in SYMBOLS.items():
        rows = points[points["precision"] == precision]
        if rows.empty:
            continue
        color = palette.precisions[precision]
        collapsed = rows["at_chance"].fillna(False).astype(bool)
        figure.add_trace(
            go.Scatter(
                x=rows[x],
                y=rows["top1"],
                error_y=_interval(rows, "top1", "top1_low", "top1_high", color),
                error_x=_interval(rows, x, f"{x}_low", f"{x}_high", color),
                mode="markers+text",
                text=["collapsed" if fallen else "" for fallen in collapsed],
                textposition="middle right",
                name=str(precision),
                marker={
                    "symbol": [f"{symbol}-open" if fallen else symbol for fallen in collapsed],
                    "size": MARKER_SIZE,
                    "color": color,
                    "line": {"width": 1, "color": palette.background},
                },
                cliponaxis=False,
                customdata=[hover_card(row) for row in rows.to_dict("records")],
                hovertemplate="%{customdata}<extra></extra>",
            )
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


def _add_links(figure: go.Figure, points: pd.DataFrame, x: str, palette: Palette) -> None:
    """A thin line joins the precisions of one model, weights and preprocessing; nothing else."""
    order = {precision: place for place, precision in enumerate(SYMBOLS)}
    xs: list[float | None] = []
    ys: list[float | None] = []
    for _, rows in points.groupby(LINE_KEYS, sort=False):
        if len(rows) < 2:
            continue
        rows = rows.sort_values("precision", key=lambda column: column.map(order))
        xs += [*rows[x], None]
        ys += [*rows["top1"], None]
    if xs:
        line = {"color": palette.published, "width": 1}
        figure.add_trace(
            go.Scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip", showlegend=False)
        )


def _add_frontier(figure: go.Figure, points: pd.DataFrame, palette: Palette) -> None:
    sound = points[~points["at_chance"].fillna(False).astype(bool)]
    if len(sound) < 2:
        return
    best = sound.iloc[frontier(-sound["images_per_s"], sound["top1"])]
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
