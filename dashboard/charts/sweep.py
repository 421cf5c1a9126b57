"""Latency against throughput over all settings of a sweep, with the frontier and the sweet spot."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import MARKER_SIZE, card, layout, log_range, log_ticks, safe
from dashboard.formats import number
from dashboard.palette import SYMBOLS, Palette
from engine.benchmark.sweep import SweetSpot, setting_of

FRONTIER, SWEET, NOISY = "frontier", "sweet spot", "noisy or unstable"


def latency_against_throughput(found: SweetSpot, palette: Palette) -> go.Figure:
    """One mark a setting, in the color and shape of its precision; hollow where it is doubtful.

    The line joins what nothing else beats in both; the star is the sweet spot, the dashed line the
    limit.
    """
    figure = go.Figure()
    column = found.percentile.column
    _add_frontier(figure, found, column, palette)
    for precision, symbol in SYMBOLS.items():
        rows = found.points[found.points["precision"] == precision]
        if len(rows):
            figure.add_trace(_marks(rows, column, str(precision), symbol, palette))
    _add_doubtful_to_legend(figure, found, palette)
    _add_star(figure, found, column, palette)
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
        error_y={
            "type": "data",
            "symmetric": False,
            "array": rows["images_per_s_high"] - rows["images_per_s"],
            "arrayminus": rows["images_per_s"] - rows["images_per_s_low"],
            "thickness": 1.2,
            "width": 3,
            "color": color,
        },
        mode="markers",
        name=precision,
        marker={
            "symbol": [f"{symbol}-open" if doubt else symbol for doubt in doubtful(rows)],
            "size": MARKER_SIZE,
            "color": color,
            "line": {"width": 2},
        },
        cliponaxis=False,
        customdata=[_card(row) for row in rows.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
    )


def doubtful(rows: pd.DataFrame) -> list[bool]:
    """Whether each speed is noisy, did not become stable, or did not keep its scenario's limit."""
    told = zip(rows["noise"], rows["stable"], rows["verdict"], strict=True)
    return [
        isinstance(noise, str) or stable == 0 or str(verdict).startswith("invalid")
        for noise, stable, verdict in told
    ]


def _card(row: dict[str, Any]) -> str:
    percentiles = ", ".join(
        f"{name} {number(row[f'latency_{name}_ms'], 2)} ms" for name in ("p50", "p90", "p99")
    )
    lines = [
        f"<b>{safe(row.get('label') or row['model_id'])} · {row['precision']}</b>",
        setting_of(row),
        f"{number(row['images_per_s'])} images/s",
        percentiles,
        "unstable" if row["stable"] == 0 else "",
        f"noisy: {safe(row['noise'])}" if isinstance(row["noise"], str) else "",
    ]
    return card(filter(None, lines))


def _add_frontier(figure: go.Figure, found: SweetSpot, column: str, palette: Palette) -> None:
    if len(found.pareto_front) < 2:
        return
    figure.add_trace(
        go.Scatter(
            x=found.pareto_front[column],
            y=found.pareto_front["images_per_s"],
            mode="lines",
            line={"color": palette.text, "width": 1.2, "dash": "dot", "shape": "hv"},
            name=FRONTIER,
            hoverinfo="skip",
        )
    )


def _add_doubtful_to_legend(figure: go.Figure, found: SweetSpot, palette: Palette) -> None:
    if not any(doubtful(found.points)):
        return
    figure.add_trace(
        go.Scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=NOISY,
            marker={
                "symbol": "circle-open",
                "size": MARKER_SIZE,
                "color": palette.published,
                "line": {"width": 2},
            },
        )
    )


def _add_star(figure: go.Figure, found: SweetSpot, column: str, palette: Palette) -> None:
    if found.row is None:
        return
    figure.add_trace(
        go.Scatter(
            x=[found.row[column]],
            y=[found.row["images_per_s"]],
            mode="markers",
            name=SWEET,
            marker={
                "symbol": "star-open",
                "size": 2 * MARKER_SIZE,
                "color": palette.text,
                "line": {"width": 1.6},
            },
            cliponaxis=False,
            hoverinfo="skip",
        )
    )


def _axes(figure: go.Figure, found: SweetSpot, column: str) -> None:
    points = found.points
    latencies = [*points[column], *([found.limit_ms] if found.limit_ms else [])]
    rates = [*points["images_per_s"], *points["images_per_s_low"], *points["images_per_s_high"]]
    for update, values, title in (
        (figure.update_xaxes, latencies, f"{found.percentile} of a request (ms, log), ← sooner"),
        (figure.update_yaxes, rates, "images/s (log), ↑ faster"),
    ):
        ticks, texts = log_ticks(values)
        update(
            type="log",
            range=log_range(values),
            tickvals=ticks,
            ticktext=texts,
            title={"text": title},
        )
