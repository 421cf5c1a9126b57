"""Shared by all charts: layout, logarithmic axes, error bars, legend marks, hover cards."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.formats import is_missing, number, significant
from dashboard.palette import Palette
from engine.text import printable

HEIGHT = 420
FONT = '"Source Sans", sans-serif'  # font of the pages, for charts without Streamlit's theme
MARKER_SIZE = 11
CARD_WIDTH = 46  # characters that fit into a chart on a phone
MIN_DECADES = 0.9
MAX_TICKS = 6
CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "png", "scale": 2, "filename": "senet-workbench"},
}
SELECTABLE = {**CONFIG, "modeBarButtonsToRemove": ["lasso2d", "autoScale2d"]}
IMAGE_FORMATS = ("PNG", "SVG")


def with_image_format(config: dict[str, Any], image_format: str) -> dict[str, Any]:
    """The configuration with another image format of the camera button."""
    return {
        **config,
        "toImageButtonOptions": {**config["toImageButtonOptions"], "format": image_format},
    }


def layout(figure: go.Figure, palette: Palette, *, height: int = HEIGHT) -> go.Figure:
    """Applies the common layout: legend above the plot, margins for labels, no background."""
    figure.update_layout(
        height=height,
        margin={"l": 64, "r": 24, "t": 10, "b": 56},
        legend={
            "orientation": "h",
            "yanchor": "bottom",
            "y": 1.02,
            "xanchor": "left",
            "x": 0,
            "font": {"size": 13, "color": palette.text},
            "title": {"text": ""},
            "itemsizing": "constant",
        },
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": palette.text, "family": FONT},
        hoverlabel={
            "align": "left",
            "font": {"size": 13, "color": palette.text},
            "bgcolor": palette.background,
            "bordercolor": palette.published,
        },
        modebar=modebar(palette),
        hovermode="closest",
    )
    axis = {
        "gridcolor": palette.grid,
        "zeroline": False,
        "linecolor": palette.grid,
        "title": {"font": {"size": 13, "color": palette.text}, "standoff": 12},
        "tickfont": {"size": 12, "color": palette.text},
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def modebar(palette: Palette) -> dict[str, str]:
    """The mode bar in the right margin, clear of the legend, with a transparent background."""
    transparent = "rgba(0,0,0,0)"
    colors = {"bgcolor": transparent, "color": palette.published, "activecolor": palette.text}
    return {"orientation": "v", **colors}


def log_ticks(values: Iterable[float]) -> tuple[list[float], list[str]]:
    """Tick positions around `values` (positive), with their texts.

    At 1, 2, 5 of each decade, or at 1, 3, or at 1: the densest choice with at most MAX_TICKS ticks,
    so that labels do not overlap on a narrow screen.
    """
    low, high = log_range(values)
    decades = range(math.floor(low), math.ceil(high) + 1)
    inside: list[float] = []
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**e for e in decades for digit in digits]
        inside = [tick for tick in ticks if low - 1e-9 <= math.log10(tick) <= high + 1e-9]
        if len(inside) <= MAX_TICKS:
            break
    return inside, [f"{tick:,.10g}" for tick in inside]


def log_axis(values: Iterable[float], title: str) -> dict[str, Any]:
    """Settings of a logarithmic axis around `values`, with a title."""
    values = list(values)
    ticks, texts = log_ticks(values)
    return {
        "type": "log",
        "range": log_range(values),
        "tickvals": ticks,
        "ticktext": texts,
        "title": {"text": title},
    }


def log_range(values: Iterable[float]) -> tuple[float, float]:
    """Axis range (log10) around `values`, wide enough for at least two 1-2-5 ticks."""
    logs = [math.log10(value) for value in values if not is_missing(value) and value > 0]
    if not logs:
        return 0.0, 1.0
    spread = max(logs) - min(logs)
    pad = max(0.06 * spread, (MIN_DECADES - spread) / 2, 0.08)
    return min(logs) - pad, max(logs) + pad


def percent_range(lows: Iterable[float], highs: Iterable[float]) -> tuple[float, float]:
    """Range of a percentage axis around all intervals: at least 3 points, within 0 to 100.5."""
    low, high = min(lows, default=0.0), max(highs, default=100.0)
    pad = max(1.0, 0.08 * (high - low))
    center = (low + high) / 2
    low, high = min(low - pad, center - 1.5), max(high + pad, center + 1.5)
    return max(0.0, low), min(100.5, high)


def whiskers(
    values: pd.Series, lows: pd.Series, highs: pd.Series, color: str, width: int = 5
) -> dict[str, Any]:
    """Plotly error bars from `lows` to `highs` around `values`."""
    return {
        "type": "data",
        "symmetric": False,
        "array": highs - values,
        "arrayminus": values - lows,
        "thickness": 1.5,
        "width": width,
        "color": color,
    }


def pareto_front_line(x: pd.Series, y: pd.Series, shape: str, palette: Palette) -> go.Scatter:
    """The Pareto front as dotted steps; `shape`: plotly line shape, `vh` or `hv`."""
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": palette.text, "width": 1.2, "dash": "dot", "shape": shape},
        name="Pareto front",
        hoverinfo="skip",
    )


def highlight(
    x: Iterable[float], y: Iterable[float], name: str, symbol: str, palette: Palette
) -> go.Scatter:
    """A large open mark around the chosen point."""
    return go.Scatter(
        x=list(x),
        y=list(y),
        mode="markers",
        name=name,
        marker={
            "symbol": symbol,
            "size": 2 * MARKER_SIZE,
            "color": palette.text,
            "line": {"width": 2},
        },
        cliponaxis=False,
        hoverinfo="skip",
    )


def legend_mark(name: str, symbol: str, color: str) -> go.Scatter:
    """A legend entry without a point."""
    width = 2 if symbol.endswith("open") else 0
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=True,
        marker={"symbol": symbol, "size": MARKER_SIZE, "color": color, "line": {"width": width}},
    )


def safe(text: object) -> str:
    """Text escaped for plotly labels and templates, where tags and `%{...}` are markup."""
    return html.escape(printable(str(text)), quote=False).replace("%{", "%&#123;")


CARD_FIELDS = (
    *("label", "precision", "top1", "top1_low", "top1_high", "top5", "images", "dataset"),
    *("at_chance", "drop_pp", "not_comparable", "images_per_s", "batch", "stable"),
    *("latency_p50_ms", "latency_p90_ms", "latency_p99_ms", "threads", "scenario", "verdict"),
    *("noise", "speed_up", "speed_up_low", "speed_up_high", "peak_share", "achieved_gmacs_per_s"),
    *("compute_gmacs", "estimated", "size_mb", "peak_rss_mb", "runtime", "placement"),
    *("execution", "calibration", "preprocess", "environment"),
)


def hover_cards(rows: pd.DataFrame) -> list[str]:
    """The hover card of each row, from the columns of CARD_FIELDS."""
    fields = rows[[name for name in CARD_FIELDS if name in rows]]
    return [hover_card(row) for row in fields.to_dict("records")]


def hover_card(row: dict[str, Any]) -> str:
    """Identity, accuracy, speed, cost, conditions; without lines for missing figures."""
    lines = [f"<b>{safe(row['label'])} · {row['precision']}</b>"]
    if not is_missing(row.get("top1")):
        interval = f"{number(row['top1_low'])}–{number(row['top1_high'])}"
        lines.append(
            f"top-1 {number(row['top1'], 2)} % ({interval}), "
            f"{row['images']:,.0f} images of {safe(row['dataset'])}"
        )
        if row.get("at_chance"):
            lines.append("collapsed: no better than guessing")
        details = [
            f"top-5 {number(row['top5'], 2)} %" if not is_missing(row.get("top5")) else "",
            f"drop vs fp32 {number(row['drop_pp'], 2)} pp" if row.get("drop_pp") else "",
        ]
        lines += [", ".join(filter(None, details))] if any(details) else []
        if _has_text(row.get("not_comparable")):
            lines.append(f"≠ {safe(row['not_comparable'])}")
    if not is_missing(row.get("images_per_s")):
        speed = f"{number(row['images_per_s'])} images/s at batch {row['batch']:.0f}"
        lines.append(speed + (", unstable" if row["stable"] == 0 else ""))
        if not is_missing(row.get("speed_up")):
            low, high = (number(row[f"speed_up_{end}"], 2) for end in ("low", "high"))
            lines.append(f"{number(row['speed_up'], 2)} × its fp32 ({low}–{high})")
        latencies = [
            f"{name} {number(row[column], 2)} ms"
            for name in ("p50", "p90", "p99")
            if not is_missing(row.get(column := f"latency_{name}_ms"))
        ]
        lines.append(", ".join([*latencies, f"{row['threads']:.0f} threads"]))
        if _has_text(row.get("placement")):
            lines.append(safe(row["placement"]))
        lines += [safe(row[name]) for name in ("scenario", "verdict") if _has_text(row.get(name))]
        if _has_text(row.get("noise")):
            lines.append(f"interference: {safe(row['noise'])}")
        if not is_missing(row.get("peak_share")):
            share = f"{number(row['peak_share'], 0)} % of the machine's peak"
            lines.append(f"{number(row['achieved_gmacs_per_s'])} GMAC/s, {share}")
    if _has_text(row.get("runtime")):
        lines.append(safe(row["runtime"]))
    lines += _costs(row)
    if row.get("execution") and row["execution"] != "native":
        lines.append(safe(row["execution"]))
    if not is_missing(row.get("calibration")):
        lines.append(f"calibration: {safe(row['calibration'])}")
    lines += [safe(row[name]) for name in ("preprocess", "environment") if _has_text(row.get(name))]
    return card(lines)


def card(lines: Iterable[str]) -> str:
    """Text of a hover card; long lines are wrapped, as a chart cuts off what is too wide."""
    return "<br>".join(line if len(line) <= CARD_WIDTH else _wrap(line) for line in lines)


@lru_cache(maxsize=4096)
def _wrap(line: str) -> str:
    wrapper = textwrap.TextWrapper(CARD_WIDTH, break_long_words=False, break_on_hyphens=False)
    return "<br>".join(wrapper.wrap(line))


def _costs(row: dict[str, Any]) -> list[str]:
    """GMACs and size, if known."""
    costs = []
    if not is_missing(row["compute_gmacs"]):
        gmacs = f"{significant(row['compute_gmacs'])} GMACs"
        costs.append(f"~{gmacs} (from published FLOPs)" if row.get("estimated") else gmacs)
    if not is_missing(row["size_mb"]):
        costs.append(f"{number(row['size_mb'])} MB")
    if not is_missing(row.get("peak_rss_mb")):
        costs.append(f"{number(row['peak_rss_mb'], 0)} MB of memory")
    return [" · ".join(costs)] if costs else []


def _has_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
