"""What all charts share: axes that say unit, direction and condition; log ticks; hover cards."""

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
FONT = '"Source Sans", sans-serif'  # as the pages; for charts without Streamlit's theme
MARKER_SIZE = 11
CARD_WIDTH = 46  # characters; as many as a chart on a phone has room for
LEAST_DECADES = 0.9
MOST_TICKS = 6
CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "png", "scale": 2, "filename": "senet-workbench"},
}
SELECTABLE = {**CONFIG, "modeBarButtonsToRemove": ["lasso2d", "autoScale2d"]}
IMAGE_FORMATS = ("PNG", "SVG")


def saved_as(config: dict[str, Any], form: str) -> dict[str, Any]:
    """The configuration with another format of what the camera button saves."""
    return {**config, "toImageButtonOptions": {**config["toImageButtonOptions"], "format": form}}


def layout(figure: go.Figure, palette: Palette, *, height: int = HEIGHT) -> go.Figure:
    """Applies the common frame: legend above, room for labels, no background of its own."""
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
    """The chart's buttons down its right margin, clear of the legend, and without a dark bar."""
    clear = "rgba(0,0,0,0)"
    colors = {"bgcolor": clear, "color": palette.published, "activecolor": palette.text}
    return {"orientation": "v", **colors}


def log_ticks(values: Iterable[float]) -> tuple[list[float], list[str]]:
    """Tick places around `values` (positive), with their texts.

    At 1, 2 and 5 of each decade, or at 1 and 3, or at 1: the most that stay within MOST_TICKS,
    so that they stand beside each other on a narrow screen.
    """
    low, high = log_range(values)
    decades = range(math.floor(low), math.ceil(high) + 1)
    inside: list[float] = []
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**e for e in decades for digit in digits]
        inside = [tick for tick in ticks if low - 1e-9 <= math.log10(tick) <= high + 1e-9]
        if len(inside) <= MOST_TICKS:
            break
    return inside, [f"{tick:,.10g}" for tick in inside]


def log_axis(values: Iterable[float], title: str) -> dict[str, Any]:
    """A logarithmic axis around `values`, with its title."""
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
    """The axis range in log10 around `values`, wide enough to hold two 1-2-5 ticks or more."""
    logs = [math.log10(value) for value in values if not is_missing(value) and value > 0]
    if not logs:
        return 0.0, 1.0
    spread = max(logs) - min(logs)
    pad = max(0.06 * spread, (LEAST_DECADES - spread) / 2, 0.08)
    return min(logs) - pad, max(logs) + pad


def percent_range(lows: Iterable[float], highs: Iterable[float]) -> tuple[float, float]:
    """An axis of percentages around all intervals, at least three points tall, within 0 to 100."""
    low, high = min(lows, default=0.0), max(highs, default=100.0)
    pad = max(1.0, 0.08 * (high - low))
    middle = (low + high) / 2
    low, high = min(low - pad, middle - 1.5), max(high + pad, middle + 1.5)
    return max(0.0, low), min(100.5, high)


def whiskers(
    values: pd.Series, lows: pd.Series, highs: pd.Series, color: str, width: int = 5
) -> dict[str, Any]:
    """Error bars from `lows` to `highs` around `values`, as plotly takes them."""
    return {
        "type": "data",
        "symmetric": False,
        "array": highs - values,
        "arrayminus": values - lows,
        "thickness": 1.5,
        "width": width,
        "color": color,
    }


def front_line(x: pd.Series, y: pd.Series, shape: str, palette: Palette) -> go.Scatter:
    """The dotted steps of a Pareto front; `shape` as plotly has it: vh or hv."""
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": palette.text, "width": 1.2, "dash": "dot", "shape": shape},
        name="frontier",
        hoverinfo="skip",
    )


def highlight(
    x: Iterable[float], y: Iterable[float], name: str, symbol: str, palette: Palette
) -> go.Scatter:
    """A large open mark around what was chosen."""
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
    """An entry of the legend without a point."""
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
    """Text for a plotly label or template, in which tags and `%{...}` would be markup."""
    return html.escape(printable(str(text)), quote=False).replace("%{", "%&#123;")


CARD_FIELDS = (
    *("label", "precision", "top1", "top1_low", "top1_high", "images", "dataset", "at_chance"),
    *("apart", "images_per_s", "batch", "stable", "latency_p50_ms", "threads", "scenario"),
    *("verdict", "noise", "peak_share", "achieved_gmacs_per_s", "compute_gmacs", "estimated"),
    *("size_mb", "execution", "calibration", "preprocess", "environment"),
)


def hover_cards(rows: pd.DataFrame) -> list[str]:
    """The card of each row; of the many columns only those that it tells are taken out."""
    told = rows[[name for name in CARD_FIELDS if name in rows]]
    return [hover_card(row) for row in told.to_dict("records")]


def hover_card(row: dict[str, Any]) -> str:
    """Identity first, then accuracy, speed, cost, conditions; what was not measured is left out."""
    lines = [f"<b>{safe(row['label'])} · {row['precision']}</b>"]
    if not is_missing(row.get("top1")):
        interval = f"{number(row['top1_low'])}–{number(row['top1_high'])}"
        lines.append(
            f"top-1 {number(row['top1'], 2)} % ({interval}), "
            f"{row['images']:,.0f} images of {safe(row['dataset'])}"
        )
        if row.get("at_chance"):
            lines.append("collapsed: no better than guessing")
        if _told(row.get("apart")):
            lines.append(f"≠ {safe(row['apart'])}")
    if not is_missing(row.get("images_per_s")):
        speed = f"{number(row['images_per_s'])} images/s at batch {row['batch']:.0f}"
        lines.append(speed + (", unstable" if row["stable"] == 0 else ""))
        lines.append(f"p50 {number(row['latency_p50_ms'], 2)} ms, {row['threads']:.0f} threads")
        lines += [safe(row[name]) for name in ("scenario", "verdict") if _told(row.get(name))]
        if _told(row.get("noise")):
            lines.append(f"noisy: {safe(row['noise'])}")
        if not is_missing(row.get("peak_share")):
            share = f"{number(row['peak_share'], 0)} % of the machine's peak"
            lines.append(f"{number(row['achieved_gmacs_per_s'])} GMAC/s, {share}")
    lines += _costs(row)
    if row.get("execution") and row["execution"] != "native":
        lines.append(safe(row["execution"]))
    if not is_missing(row.get("calibration")):
        lines.append(f"calibrated: {safe(row['calibration'])}")
    lines += [safe(row[name]) for name in ("preprocess", "environment") if _told(row.get(name))]
    return card(lines)


def card(lines: Iterable[str]) -> str:
    """Lines of a hover card, the long ones broken: a chart cuts what is wider than itself."""
    return "<br>".join(line if len(line) <= CARD_WIDTH else _broken(line) for line in lines)


@lru_cache(maxsize=4096)
def _broken(line: str) -> str:
    wrapper = textwrap.TextWrapper(CARD_WIDTH, break_long_words=False, break_on_hyphens=False)
    return "<br>".join(wrapper.wrap(line))


def _costs(row: dict[str, Any]) -> list[str]:
    """GMACs and size, as far as they are known."""
    told = []
    if not is_missing(row["compute_gmacs"]):
        gmacs = f"{significant(row['compute_gmacs'])} GMACs"
        told.append(f"~{gmacs} by the published FLOPs" if row.get("estimated") else gmacs)
    if not is_missing(row["size_mb"]):
        told.append(f"{number(row['size_mb'])} MB")
    return [" · ".join(told)] if told else []


def _told(value: object) -> bool:
    return isinstance(value, str) and bool(value)
