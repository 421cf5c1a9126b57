"""What a larger batch brings in throughput and costs in latency: two panels, never two y axes."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.common import MARKER_SIZE, layout, log_range, log_ticks, safe
from dashboard.formats import number
from dashboard.palette import SYMBOLS, Palette

STROKES = {"fp32": "solid", "fp16": "dash", "int8": "dot"}


def batch_scaling(
    rows: pd.DataFrame, palette: Palette, latency_ms: float | None = None
) -> go.Figure:
    """Images/s above, latency p50 below, over the batch; one line a precision of one model.

    Columns: precision, batch, images_per_s, images_per_s_low, images_per_s_high, latency_p50_ms.
    A star marks the most images/s whose p50 is within `latency_ms`.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    best = sweet_spot(rows, latency_ms)
    for precision, symbol in SYMBOLS.items():
        some = rows[rows["precision"] == precision].sort_values("batch")
        if some.empty:
            continue
        color = palette.precisions[precision]
        for panel, column in ((1, "images_per_s"), (2, "latency_p50_ms")):
            figure.add_trace(
                go.Scatter(
                    x=some["batch"],
                    y=some[column],
                    mode="lines+markers",
                    name=str(precision),
                    legendgroup=str(precision),
                    showlegend=panel == 1,
                    line={"color": color, "width": 1.6, "dash": STROKES[precision]},
                    marker={"symbol": symbol, "size": MARKER_SIZE - 2, "color": color},
                    hovertemplate=f"<b>{safe(precision)}</b>, batch %{{x}}: %{{y:.4g}}"
                    f"<extra></extra>",
                ),
                row=panel,
                col=1,
            )
    if latency_ms is not None:
        figure.add_hline(y=latency_ms, line={"color": palette.text, "dash": "dash"}, row=2, col=1)
    if best is not None:
        figure.add_trace(
            go.Scatter(
                x=[best["batch"]],
                y=[best["images_per_s"]],
                mode="markers",
                name="most images/s",
                marker={"symbol": "star", "size": 16, "color": palette.text},
                hoverinfo="skip",
            ),
            row=1,
            col=1,
        )
    figure = layout(figure, palette, height=460)
    batches = sorted({float(batch) for batch in rows["batch"]})
    figure.update_xaxes(type="log", tickvals=batches, ticktext=[f"{b:g}" for b in batches])
    figure.update_xaxes(title={"text": "images a request (batch)"}, row=2, col=1)
    for panel, column, title in (
        (1, "images_per_s", "images/s, ↑ faster"),
        (2, "latency_p50_ms", "p50 (ms), ↓ faster"),
    ):
        ticks, texts = log_ticks(rows[column])
        figure.update_yaxes(
            type="log", range=log_range(rows[column]), tickvals=ticks, ticktext=texts,
            title={"text": title}, row=panel, col=1,
        )  # fmt: skip
    return figure


def sweet_spot(rows: pd.DataFrame, latency_ms: float | None) -> dict[str, object] | None:
    """The row with the most images/s whose p50 keeps the limit; None where none does."""
    kept = rows if latency_ms is None else rows[rows["latency_p50_ms"] <= latency_ms]
    if kept.empty:
        return None
    return dict(kept.loc[kept["images_per_s"].astype(float).idxmax()])


def takeaway(rows: pd.DataFrame, latency_ms: float | None) -> str:
    """Where the most images/s are, under the limit if there is one."""
    best = sweet_spot(rows, latency_ms)
    limit = "" if latency_ms is None else f" with p50 of at most {latency_ms:g} ms"
    if best is None:
        return f"No batch was measured{limit}."
    return (
        f"Most images/s{limit}: {best['precision']} at batch {number(best['batch'], 0)}, "
        f"{number(best['images_per_s'])} images/s, p50 {number(best['latency_p50_ms'], 2)} ms."
    )
