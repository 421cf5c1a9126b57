"""Latency vs throughput of all points of a sweep, with Pareto front and best operating point."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import (
    MARKER_SIZE,
    card,
    highlight,
    layout,
    legend_mark,
    log_axis,
    pareto_front_line,
    safe,
    whiskers,
)
from dashboard.formats import number
from dashboard.palette import Palette, symbols
from engine.benchmark.sweep import BestOperatingPoint, setting_label
from engine.results.notes import is_unreliable
from engine.runtimes.registry import tag_of

BEST, UNRELIABLE = "best operating point", "unreliable"


def latency_against_throughput(sweep: BestOperatingPoint, palette: Palette) -> go.Figure:
    """One mark per configuration, in the color and shape of its precision; hollow: unreliable.

    Dotted line: Pareto front. Star: best operating point. Dashed line: latency constraint.
    """
    figure = go.Figure()
    column = sweep.percentile.column
    front = sweep.pareto_front
    if len(front) > 1:
        figure.add_trace(pareto_front_line(front[column], front["images_per_s"], "hv", palette))
    for precision, symbol in symbols().items():
        for name, rows in series_of(sweep.points, str(precision)):
            figure.add_trace(_marks(rows, column, name, symbol, palette))
    if any(is_unreliable(sweep.points)):
        figure.add_trace(legend_mark(UNRELIABLE, "circle-open", palette.published))
    if (row := sweep.row) is not None:
        figure.add_trace(
            highlight([row[column]], [row["images_per_s"]], BEST, "star-open", palette)
        )
    if sweep.limit_ms is not None:
        figure.add_vline(
            x=sweep.limit_ms,
            line={"color": palette.text, "dash": "dash", "width": 1},
            annotation={"text": f"max {sweep.limit_ms:g} ms", "font": {"color": palette.text}},
        )
    _axes(figure, sweep, column)
    return layout(figure, palette)


def _marks(rows: pd.DataFrame, column: str, name: str, symbol: str, palette: Palette) -> go.Scatter:
    color = palette.precisions[rows["precision"].iloc[0]]
    tagged = is_other(name, rows)
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
        mode="markers+text" if tagged else "markers",
        text=[tag_of(str(runtime)) for runtime in rows["runtime"]] if tagged else None,
        textposition="middle right",
        name=name,
        marker={
            "symbol": [
                f"{symbol}-open" if unreliable else symbol for unreliable in is_unreliable(rows)
            ],
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
        safe(row.get("runtime") or ""),
        f"{number(row['images_per_s'])} images/s",
        percentiles,
        "unstable" if row["stable"] == 0 else "",
        f"interference: {safe(row['noise'])}" if isinstance(row["noise"], str) else "",
    ]
    return card(filter(None, lines))


def series_of(points: pd.DataFrame, precision: str) -> list[tuple[str, pd.DataFrame]]:
    """The points of a precision by series, with the name of each; one series for each runtime."""
    rows = points[points["precision"] == precision]
    if "series" not in rows:
        return [(precision, rows)] if len(rows) else []
    return [(str(name), part) for name, part in rows.groupby("series", sort=False)]


def is_other(name: str, rows: pd.DataFrame) -> bool:
    """Whether a series is of another runtime than the default one, and so carries its tag."""
    return name != rows["precision"].iloc[0]


def _axes(figure: go.Figure, sweep: BestOperatingPoint, column: str) -> None:
    points = sweep.points
    latencies = [*points[column], *([sweep.limit_ms] if sweep.limit_ms else [])]
    rates = [*points["images_per_s"], *points["images_per_s_low"], *points["images_per_s_high"]]
    for update, values, title in (
        (
            figure.update_xaxes,
            latencies,
            f"{sweep.percentile} of a request (ms, log), ← lower is better",
        ),
        (figure.update_yaxes, rates, "images/s (log), ↑ better"),
    ):
        update(**log_axis(values, title))
