"""Parallel coordinates: accuracy, speed and costs on axes where up is always better."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import FONT, log_ticks, modebar, safe
from dashboard.palette import Palette
from engine.results.columns import header_of
from engine.specs.precisions import precision_names

MAX_LINES = 200
# column -> whether lower is better; all on logarithmic axes.
AXES = {
    "images_per_s": False,
    "latency_p50_ms": True,
    "size_mb": True,
    "compute_gmacs": True,
    "peak_rss_mb": True,
}
LABEL_ANGLE = -30  # horizontal titles overlap on a narrow screen


def parallel_coordinates(points: pd.DataFrame, palette: Palette) -> go.Figure:
    """One line per build, at most MAX_LINES; a range of an axis can be selected by dragging.

    Columns: precision, top1 and those of AXES, without missing values. A column with one value for
    all builds has no axis.
    """
    rows = points.head(MAX_LINES)
    measured = set(rows["precision"])
    order = [name for name in precision_names() if name in measured]
    colors, count = [palette.precisions[name] for name in order], len(order)
    places = rows["precision"].map({name: place for place, name in enumerate(order)})
    steps = [
        [(place + edge) / count, color] for place, color in enumerate(colors) for edge in (0, 1)
    ]
    figure = go.Figure(
        go.Parcoords(
            line={
                "color": places,
                "colorscale": steps,
                "cmin": 0,
                "cmax": max(1, count - 1),
                "showscale": False,
            },
            dimensions=[
                {
                    "label": "precision",
                    "values": places,
                    "tickvals": list(range(count)),
                    "ticktext": order,
                    "range": [-0.3, count - 0.7],
                },
                {"label": header_of("top1"), "values": rows["top1"]},
                *(
                    _log_axis(rows[name], header_of(name), lower_is_better)
                    for name, lower_is_better in AXES.items()
                    if rows[name].nunique() > 1
                ),
            ],
            labelangle=LABEL_ANGLE,
            labelfont={"size": 13, "color": palette.text},
            tickfont={"size": 11, "color": palette.text},
            rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
        )
    )
    return figure.update_layout(
        height=460,
        margin={"l": 60, "r": 100, "t": 90, "b": 30},
        paper_bgcolor="rgba(0,0,0,0)",
        font={"color": palette.text, "family": FONT},
        modebar=modebar(palette),
    )


def _log_axis(values: pd.Series, title: str, lower_is_better: bool) -> dict[str, Any]:
    sign = -1 if lower_is_better else 1
    logs = [sign * math.log10(float(value)) for value in values]
    ticks, texts = log_ticks(values)
    arrow = " ↓" if lower_is_better else ""
    pad = 0.02 * (max(logs) - min(logs)) or 0.1
    inside = [
        (sign * math.log10(tick), text)
        for tick, text in zip(ticks, texts, strict=True)
        if min(logs) - pad <= sign * math.log10(tick) <= max(logs) + pad
    ]
    if len(inside) < 2:
        ends = sorted({min(logs), max(logs)})
        inside = [(place, f"{10 ** (sign * place):,.4g}") for place in ends]
    return {
        "label": safe(title) + arrow,
        "values": logs,
        "range": [min(logs) - pad, max(logs) + pad],
        "tickvals": [place for place, _ in inside],
        "ticktext": [text for _, text in inside],
    }
