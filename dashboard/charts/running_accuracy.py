"""Top-1 while an evaluation runs: the estimate so far, and its interval as it narrows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboard.charts.common import layout, percent_range
from dashboard.palette import Palette
from engine.common.stats import wilson_interval
from engine.jobs.results import PartialResult

HEIGHT = 230


@dataclass(frozen=True, slots=True)
class SoFar:
    """Images seen, and top-1 with its Wilson interval in percent."""

    images: int
    top1: float
    low: float
    high: float


def so_far(done: int | None, partial: dict[str, Any] | None) -> SoFar | None:
    """What a running evaluation has found on `done` images; None where nothing is known yet."""
    found = PartialResult.model_validate(partial or {})
    if not done or not found.images:
        return None
    low, high = wilson_interval(found.correct, found.images)
    return SoFar(done, 100 * found.correct / found.images, 100 * low, 100 * high)


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
