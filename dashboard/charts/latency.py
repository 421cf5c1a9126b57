"""How long single requests took: their distribution, and whether they drifted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.common import layout, log_axis, safe
from dashboard.formats import number, plural
from dashboard.palette import Palette

MOST_SAMPLES = 2000
WIDE = 10.0  # beyond this ratio of slowest to fastest the axis is logarithmic
PERCENTILES = (50, 90, 99)
STROKES = {50: "solid", 90: "dash", 99: "dot"}


@dataclass(frozen=True, slots=True)
class Series:
    """The latencies (ms) of one benchmark, in the order in which requests ended."""

    label: str
    precision: str
    latency_ms: np.ndarray

    @property
    def name(self) -> str:
        """For axis and legend."""
        return f"{self.label} · {self.precision}"


def thinned(values: np.ndarray, most: int = MOST_SAMPLES) -> np.ndarray:
    """At most `most` values, evenly picked in their order."""
    if len(values) <= most:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, most).round().astype(int)])


def distributions(series: list[Series], palette: Palette) -> go.Figure:
    """Share of requests (%) that took no longer than x; the percentiles are where lines cross."""
    figure = go.Figure()
    everything: list[float] = []
    for number_of, one in enumerate(series):
        ordered = np.sort(one.latency_ms)
        shown = thinned(ordered)
        shares = thinned(100 * np.arange(1, len(ordered) + 1) / len(ordered))
        everything += [float(shown[0]), float(shown[-1])]
        figure.add_trace(
            go.Scatter(
                x=shown,
                y=shares,
                mode="lines",
                name=safe(one.name),
                line={
                    "color": palette.precisions[one.precision],
                    "width": 2,
                    "dash": ("solid", "dash", "dot", "dashdot")[number_of // 3 % 4],
                },
                hovertemplate=f"<b>{safe(one.name)}</b><br>%{{y:.1f}} % of requests within "
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
    wide = everything and max(everything) > WIDE * min(everything) > 0
    title = "latency of one request (ms), ← faster"
    figure.update_xaxes(**log_axis(everything, title) if wide else {"title": {"text": title}})
    return layout(figure, palette).update_layout(margin={"r": 44})


def in_order(series: list[Series], palette: Palette) -> go.Figure:
    """Each request in its order: warm-up left over, drift and hiccups are seen here."""
    figure = go.Figure()
    for one in series:
        shown = thinned(one.latency_ms)
        places = thinned(np.arange(1, len(one.latency_ms) + 1))
        figure.add_trace(
            go.Scattergl(
                x=places,
                y=shown,
                mode="markers",
                name=safe(one.name),
                marker={"size": 3, "color": palette.precisions[one.precision]},
                hovertemplate=f"<b>{safe(one.name)}</b><br>request %{{x}}: %{{y:.3g}} ms"
                f"<extra></extra>",
            )
        )
    figure.update_xaxes(title={"text": "request, in the order of measuring"})
    figure.update_yaxes(title={"text": "latency (ms)"}, rangemode="tozero")
    return layout(figure, palette)


def takeaway(series: list[Series]) -> str:
    """Median and tail of the fastest, and who has the longest tail."""
    if not series:
        return "No raw latencies are kept for these builds: benchmark them here to see them."
    tails = {one.name: float(np.percentile(one.latency_ms, 99)) for one in series}
    medians = {one.name: float(np.median(one.latency_ms)) for one in series}
    fastest = min(medians, key=lambda name: medians[name])
    ratios = {name: tails[name] / medians[name] for name in tails}
    worst = max(ratios, key=lambda name: ratios[name])
    count = sum(len(one.latency_ms) for one in series)
    return (
        f"Lowest median: {fastest}, {number(medians[fastest], 2)} ms. Longest tail: {worst}, p99 "
        f"{number(ratios[worst], 1)} × its median ({plural(count, 'request')})."
    )
