"""Latency against throughput over all settings of a sweep, with the frontier and the sweet spot."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import (
    MARKER_SIZE,
    card,
    front_line,
    highlight,
    layout,
    legend_mark,
    log_axis,
    safe,
    whiskers,
)
from dashboard.formats import number
from dashboard.palette import SYMBOLS, Palette
from engine.benchmark.sweep import BestOperatingPoint, setting_label
from engine.results.notes import unreliable

SWEET, NOISY = "sweet spot", "noisy or unstable"


def latency_against_throughput(found: BestOperatingPoint, palette: Palette) -> go.Figure:
    """One mark a setting, in the color and shape of its precision; hollow where it is doubtful.

    The line joins what nothing else beats in both; the star is the sweet spot, the dashed line the
    limit.
    """
    figure = go.Figure()
    column = found.percentile.column
    front = found.pareto_front
    if len(front) > 1:
        figure.add_trace(front_line(front[column], front["images_per_s"], "hv", palette))
    for precision, symbol in SYMBOLS.items():
        rows = found.points[found.points["precision"] == precision]
        if len(rows):
            figure.add_trace(_marks(rows, column, str(precision), symbol, palette))
    if any(unreliable(found.points)):
        figure.add_trace(legend_mark(NOISY, "circle-open", palette.published))
    if (row := found.row) is not None:
        best = [row[column]], [row["images_per_s"]]
        figure.add_trace(highlight(*best, SWEET, "star-open", palette))
    if found.limit_ms is not None:
        figure.add_vline(
            x=found.limit_ms,
            line={"color": palette.text, "dash": "dash", "width": 1},
            annotation={"text": f"limit {found.limit_ms:g} ms", "font": {"color": palette.text}},
        )
    _axes(figure, found, column)
    return layout(figure, palette)


def _marks(
    rows: pd.DataFrame, column: str, precision: str, symbol: str, palette: Palette
) -> go.Scatter:
    color = palette.precisions[precision]
    return go.Scatter(
        x=rows[column],
        y=rows["images_per_s"],
        error_y=whiskers(
            rows["images_per_s"],
            rows["images_per_s_low"],
            rows["images_per_s_high"],
            color,
            width=3,
        ),
        mode="markers",
        name=precision,
        marker={
            "symbol": [f"{symbol}-open" if doubt else symbol for doubt in unreliable(rows)],
            "size": MARKER_SIZE,
            "color": color,
            "line": {"width": 2},
        },
        cliponaxis=False,
        customdata=[_card(row) for row in rows.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _card(row: dict[str, Any]) -> str:
    percentiles = ", ".join(
        f"{name} {number(row[f'latency_{name}_ms'], 2)} ms" for name in ("p50", "p90", "p99")
    )
    lines = [
        f"<b>{safe(row.get('label') or row['model_id'])} · {row['precision']}</b>",
        setting_label(row),
        f"{number(row['images_per_s'])} images/s",
        percentiles,
        "unstable" if row["stable"] == 0 else "",
        f"noisy: {safe(row['noise'])}" if isinstance(row["noise"], str) else "",
    ]
    return card(filter(None, lines))


def _axes(figure: go.Figure, found: BestOperatingPoint, column: str) -> None:
    points = found.points
    latencies = [*points[column], *([found.limit_ms] if found.limit_ms else [])]
    rates = [*points["images_per_s"], *points["images_per_s_low"], *points["images_per_s_high"]]
    for update, values, title in (
        (figure.update_xaxes, latencies, f"{found.percentile} of a request (ms, log), ← sooner"),
        (figure.update_yaxes, rates, "images/s (log), ↑ faster"),
    ):
        update(**log_axis(values, title))
