"""Top-1 while an evaluation runs: the estimate so far, and its interval as it narrows."""

from __future__ import annotations

import re
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.charts.common import layout, percent_range
from dashboard.palette import Palette

_SO_FAR = re.compile(r"top-1 so far ([\d.]+)% \(([\d.]+)% to ([\d.]+)%\)")
HEIGHT = 230


@dataclass(frozen=True, slots=True)
class SoFar:
    """Images seen, and top-1 with its Wilson interval in percent."""

    images: int
    top1: float
    low: float
    high: float


def so_far(images: int | None, message: str | None) -> SoFar | None:
    """What the message of an evaluation says, as engine.evaluation words it; None for another."""
    found = _SO_FAR.search(message or "")
    if found is None or not images:
        return None
    top1, low, high = (float(text) for text in found.groups())
    return SoFar(images, top1, low, high)


def running_accuracy(seen: list[SoFar], total: int, palette: Palette) -> go.Figure:
    """The line and its band over the images seen, up to `total`."""
    images = [one.images for one in seen]
    band = bytes.fromhex(palette.precisions["fp16"].removeprefix("#"))
    figure = go.Figure(
        [
            go.Scatter(
                x=[*images, *reversed(images)],
                y=[*(one.high for one in seen), *(one.low for one in reversed(seen))],
                fill="toself",
                mode="lines",
                line={"width": 0},
                fillcolor=f"rgba({','.join(str(part) for part in band)},0.25)",
                hoverinfo="skip",
                name="95 % interval",
            ),
            go.Scatter(
                x=images,
                y=[one.top1 for one in seen],
                mode="lines+markers",
                line={"color": palette.text, "width": 1.6},
                marker={"size": 4},
                name="top-1 so far",
                hovertemplate="%{x:,} images: %{y:.1f} %<extra></extra>",
            ),
        ]
    )
    lows, highs = [one.low for one in seen], [one.high for one in seen]
    figure.update_yaxes(range=percent_range(lows, highs), title={"text": "top-1 (%)"})
    figure.update_xaxes(range=[0, total], title={"text": f"images seen, of {total:,}"})
    return layout(figure, palette, height=HEIGHT)
