"""Latencies of single requests: their distribution (CDF) and their course over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.common import layout, log_axis, safe
from dashboard.formats import number, plural
from dashboard.palette import Palette

MAX_SAMPLES = 2000
LOG_AXIS_RATIO = 10.0  # ratio of slowest to fastest request beyond which the axis is logarithmic
PERCENTILES = (50, 90, 99)
STROKES = {50: "solid", 90: "dash", 99: "dot"}


@dataclass(frozen=True, slots=True)
class Series:
    """The latencies (ms) of one benchmark, in order of completion."""

    label: str
    precision: str
    latency_ms: np.ndarray
    runtime: str = ""

    @property
    def name(self) -> str:
        """Name in legend and text; `runtime` is empty for the default one."""
        where = f" in {self.runtime}" if self.runtime else ""
        return f"{self.label} · {self.precision}{where}"


def downsample(values: np.ndarray, max_samples: int = MAX_SAMPLES) -> np.ndarray:
    """At most `max_samples` values, evenly spaced, in the same order."""
    if len(values) <= max_samples:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, max_samples).round().astype(int)])


def latency_distribution(series: list[Series], palette: Palette) -> go.Figure:
    """Cumulative distribution of latencies: share of requests (%) with a latency of at most x."""
    figure = go.Figure()
    extremes: list[float] = []
    for index, benchmark in enumerate(series):
        ordered = np.sort(benchmark.latency_ms)
        shown = downsample(ordered)
        shares = downsample(100 * np.arange(1, len(ordered) + 1) / len(ordered))
        extremes += [float(shown[0]), float(shown[-1])]
        figure.add_trace(
            go.Scatter(
                x=shown,
                y=shares,
                mode="lines",
                name=safe(benchmark.name),
                line={
                    "color": palette.precisions[benchmark.precision],
                    "width": 2,
                    "dash": ("solid", "dash", "dot", "dashdot")[index // 3 % 4],
                },
                hovertemplate=f"<b>{safe(benchmark.name)}</b><br>%{{y:.1f}} % of requests within "
                f"%{{x:.3g}} ms<extra></extra>",
            )
        )
    for share in PERCENTILES:
        figure.add_hline(
            y=share,
            line={"color": palette.published, "width": 1, "dash": STROKES[share]},
            annotation={"text": f"p{share}", "font": {"size": 11, "color": palette.published}},
            annotation_position="right",
        )
    figure.update_yaxes(range=[0, 101], title={"text": "requests (%)"})
    log_scale = extremes and max(extremes) > LOG_AXIS_RATIO * min(extremes) > 0
    title = "latency of one request (ms), ← lower is better"
    figure.update_xaxes(**log_axis(extremes, title) if log_scale else {"title": {"text": title}})
    return layout(figure, palette).update_layout(margin={"r": 44})


def latency_over_time(series: list[Series], palette: Palette) -> go.Figure:
    """Latency of each request in order of completion; shows warm-up, drift and outliers."""
    figure = go.Figure()
    for benchmark in series:
        shown = downsample(benchmark.latency_ms)
        places = downsample(np.arange(1, len(benchmark.latency_ms) + 1))
        figure.add_trace(
            go.Scattergl(
                x=places,
                y=shown,
                mode="markers",
                name=safe(benchmark.name),
                marker={"size": 3, "color": palette.precisions[benchmark.precision]},
                hovertemplate=f"<b>{safe(benchmark.name)}</b><br>request %{{x}}: %{{y:.3g}} ms"
                f"<extra></extra>",
            )
        )
    figure.update_xaxes(title={"text": "request, in order of completion"})
    figure.update_yaxes(title={"text": "latency (ms)"}, rangemode="tozero")
    return layout(figure, palette)


def takeaway(series: list[Series]) -> str:
    """The lowest median, and the longest tail (p99 / median)."""
    if not series:
        return "These builds have no raw latencies. Benchmark them on this machine to see them."
    tails = {benchmark.name: float(np.percentile(benchmark.latency_ms, 99)) for benchmark in series}
    medians = {benchmark.name: float(np.median(benchmark.latency_ms)) for benchmark in series}
    fastest = min(medians, key=lambda name: medians[name])
    ratios = {name: tails[name] / medians[name] for name in tails}
    longest = max(ratios, key=lambda name: ratios[name])
    count = sum(len(benchmark.latency_ms) for benchmark in series)
    return (
        f"Lowest median: {fastest}, {number(medians[fastest], 2)} ms. Longest tail: {longest}, p99 "
        f"{number(ratios[longest], 1)} × its median ({plural(count, 'request')})."
    )
