"""What a larger batch brings in throughput and costs in latency: two panels, never two y axes."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.common import MARKER_SIZE, layout, log_axis, safe
from dashboard.palette import SYMBOLS, Palette
from engine.benchmark.sweep import BestOperatingPoint
from engine.results.notes import unreliable

STROKES = {"fp32": "solid", "fp16": "dash", "int8": "dot"}
PANELS = ("images_per_s", "latency")


def batch_scaling(found: BestOperatingPoint, palette: Palette) -> go.Figure:
    """Images/s above, the chosen latency below, over the batch; one line a precision of one model.

    Hollow marks are noisy or unstable. A star marks the most images/s within the limit.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    columns = dict(zip(PANELS, ("images_per_s", found.percentile.column), strict=True))
    for precision, symbol in SYMBOLS.items():
        rows = found.points[found.points["precision"] == precision].sort_values("batch")
        for panel, column in enumerate(columns.values(), 1):
            if len(rows):
                line = _line(rows, column, str(precision), symbol, palette)
                figure.add_trace(line.update(showlegend=panel == 1), row=panel, col=1)
    if found.limit_ms is not None:
        dashed = {"color": palette.text, "dash": "dash"}
        figure.add_hline(y=found.limit_ms, line=dashed, row=2, col=1)
    if found.row is not None:
        figure.add_trace(_star(found.row, palette), row=1, col=1)
    figure = layout(figure, palette, height=460)
    _axes(figure, found)
    return figure


def _line(
    rows: pd.DataFrame, column: str, precision: str, symbol: str, palette: Palette
) -> go.Scatter:
    color = palette.precisions[precision]
    return go.Scatter(
        x=rows["batch"],
        y=rows[column],
        mode="lines+markers",
        name=precision,
        legendgroup=precision,
        line={"color": color, "width": 1.6, "dash": STROKES[precision]},
        marker={
            "symbol": [f"{symbol}-open" if doubt else symbol for doubt in unreliable(rows)],
            "size": MARKER_SIZE - 2,
            "color": color,
        },
        hovertemplate=f"<b>{safe(precision)}</b>, batch %{{x}}: %{{y:.4g}}<extra></extra>",
    )


def _star(row: dict[str, object], palette: Palette) -> go.Scatter:
    return go.Scatter(
        x=[row["batch"]],
        y=[row["images_per_s"]],
        mode="markers",
        name="most images/s",
        marker={"symbol": "star", "size": 16, "color": palette.text},
        hoverinfo="skip",
    )


def _axes(figure: go.Figure, found: BestOperatingPoint) -> None:
    batches = sorted({float(batch) for batch in found.points["batch"]})
    figure.update_xaxes(type="log", tickvals=batches, ticktext=[f"{b:g}" for b in batches])
    figure.update_xaxes(title={"text": "images a request (batch)"}, row=2, col=1)
    for panel, column, title in (
        (1, "images_per_s", "images/s, ↑ faster"),
        (2, found.percentile.column, f"{found.percentile} (ms), ↓ faster"),
    ):
        figure.update_yaxes(**log_axis(found.points[column], title), row=panel, col=1)
