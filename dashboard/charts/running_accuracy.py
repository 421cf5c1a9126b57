"""Top-1 of a running evaluation: current estimate with its interval."""

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
class RunningTop1:
    """Number of images evaluated, and top-1 with its Wilson interval (%)."""

    images: int
    top1: float
    low: float
    high: float


def parse_running_top1(done: int | None, partial: dict[str, Any] | None) -> RunningTop1 | None:
    """The partial result of a running evaluation after `done` images; None if there is none yet."""
    result = PartialResult.model_validate(partial or {})
    if not done or not result.images:
        return None
    low, high = wilson_interval(result.correct, result.images)
    return RunningTop1(done, 100 * result.correct / result.images, 100 * low, 100 * high)


def running_accuracy(estimates: list[RunningTop1], total: int, palette: Palette) -> go.Figure:
    """Top-1 and its interval over the number of images, up to `total`."""
    images = [estimate.images for estimate in estimates]
    band = bytes.fromhex(palette.precisions["fp16"].removeprefix("#"))
    figure = go.Figure(
        [
            go.Scatter(
                x=[*images, *reversed(images)],
                y=[
                    *(estimate.high for estimate in estimates),
                    *(estimate.low for estimate in reversed(estimates)),
                ],
                fill="toself",
                mode="lines",
                line={"width": 0},
                fillcolor=f"rgba({','.join(str(part) for part in band)},0.25)",
                hoverinfo="skip",
                name="95 % interval",
            ),
            go.Scatter(
                x=images,
                y=[estimate.top1 for estimate in estimates],
                mode="lines+markers",
                line={"color": palette.text, "width": 1.6},
                marker={"size": 4},
                name="top-1 so far",
                hovertemplate="%{x:,} images: %{y:.1f} %<extra></extra>",
            ),
        ]
    )
    lows, highs = (
        [estimate.low for estimate in estimates],
        [estimate.high for estimate in estimates],
    )
    figure.update_yaxes(range=percent_range(lows, highs), title={"text": "top-1 (%)"})
    figure.update_xaxes(range=[0, total], title={"text": f"images evaluated, of {total:,}"})
    return layout(figure, palette, height=HEIGHT)
