"""Throughput and latency over the batch size, in two panels."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.common import MARKER_SIZE, layout, log_axis, safe
from dashboard.charts.sweep import is_other, series_of
from dashboard.palette import Palette, symbols
from engine.benchmark.sweep import BestOperatingPoint
from engine.results.notes import is_unreliable
from engine.runtimes.registry import tag_of
from engine.specs.precisions import facts_of

PANELS = ("images_per_s", "latency")


def batch_scaling(sweep: BestOperatingPoint, palette: Palette) -> go.Figure:
    """Images/s (top) and the latency percentile (bottom) over the batch size of one model.

    One line per precision and runtime. Hollow marks: unreliable speed. Star: best operating point,
    the highest images/s within the latency constraint.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    columns = dict(zip(PANELS, ("images_per_s", sweep.percentile.column), strict=True))
    for precision, symbol in symbols().items():
        for name, rows in series_of(sweep.points.sort_values("batch"), str(precision)):
            for panel, column in enumerate(columns.values(), 1):
                line = _line(rows, column, name, symbol, palette)
                figure.add_trace(line.update(showlegend=panel == 1), row=panel, col=1)
    if sweep.limit_ms is not None:
        dashed = {"color": palette.text, "dash": "dash"}
        figure.add_hline(y=sweep.limit_ms, line=dashed, row=2, col=1)
    if sweep.row is not None:
        figure.add_trace(_best_mark(sweep.row, palette), row=1, col=1)
    figure = layout(figure, palette, height=460)
    _axes(figure, sweep)
    return figure


def _line(rows: pd.DataFrame, column: str, name: str, symbol: str, palette: Palette) -> go.Scatter:
    precision = str(rows["precision"].iloc[0])
    tag = tag_of(str(rows["runtime"].iloc[0])) if is_other(name, rows) else ""
    color = palette.precisions[precision]
    return go.Scatter(
        x=rows["batch"],
        y=rows[column],
        mode="lines+markers+text",
        text=[""] * (len(rows) - 1) + [tag],
        textposition="top center",
        name=name,
        legendgroup=name,
        line={"color": color, "width": 1.6, "dash": facts_of(precision).stroke},
        marker={
            "symbol": [
                f"{symbol}-open" if unreliable else symbol for unreliable in is_unreliable(rows)
            ],
            "size": MARKER_SIZE - 2,
            "color": color,
        },
        hovertemplate=f"<b>{safe(name)}</b>, batch %{{x}}: %{{y:.4g}}<extra></extra>",
    )


def _best_mark(row: dict[str, object], palette: Palette) -> go.Scatter:
    return go.Scatter(
        x=[row["batch"]],
        y=[row["images_per_s"]],
        mode="markers",
        name="best operating point",
        marker={"symbol": "star", "size": 16, "color": palette.text},
        hoverinfo="skip",
    )


def _axes(figure: go.Figure, sweep: BestOperatingPoint) -> None:
    batches = sorted({float(batch) for batch in sweep.points["batch"]})
    figure.update_xaxes(type="log", tickvals=batches, ticktext=[f"{b:g}" for b in batches])
    figure.update_xaxes(title={"text": "batch size"}, row=2, col=1)
    for panel, column, title in (
        (1, "images_per_s", "images/s, ↑ better"),
        (2, sweep.percentile.column, f"{sweep.percentile} (ms), ↓ better"),
    ):
        figure.update_yaxes(**log_axis(sweep.points[column], title), row=panel, col=1)
