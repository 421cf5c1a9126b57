"""An accuracy chart as static SVG: the same figure as on the page, without a script.

It reads what `dashboard.charts.accuracy` draws: scatter traces with marks, intervals, arrows and
texts on a logarithmic x-axis and a linear y-axis, annotations, and lines at limits. The hover card
of a mark is its tooltip.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from dashboard.palette import Palette

WIDTH, HEIGHT = 960, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 64, 66
MAX_Y_TICKS = 7
LETTER_PX, LEGEND_LINE_PX = 7.2, 24
_TAG, _ANCHORS = re.compile(r"<[^>]*>"), {"left": "start", "right": "end", "center": "middle"}


@dataclass(frozen=True, slots=True)
class _Plot:
    """Places in pixels of values on the axes; x is logarithmic, its range in log10."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        return self.x_log(math.log10(value))

    def x_log(self, log: float) -> float:
        low, high = self.x_range
        return LEFT + (log - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def to_svg(figure: go.Figure, palette: Palette, alt: str) -> str:
    """The figure as an SVG element that fits its container; `alt`: what it shows, in words."""
    layout = figure.layout
    plot = _Plot(tuple(layout.xaxis.range), tuple(layout.yaxis.range))
    parts = [*_axes(layout, plot, palette), *_limits(layout, plot)]
    for trace in figure.data:
        parts += _trace(trace, plot, palette)
    parts += _annotations(layout, plot, palette)
    parts += _legend(figure.data, palette)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(alt)}" '
        f'font-size="13" fill="{palette.text}">{"".join(parts)}</svg>'
    )


def linear_ticks(low: float, high: float) -> list[float]:
    """At most MAX_Y_TICKS multiples of 1, 2 or 5 times a power of ten from `low` to `high`."""
    power = 10 ** math.floor(math.log10((high - low) / MAX_Y_TICKS))
    step = next(
        power * factor
        for factor in (1, 2, 5, 10)
        if math.floor(high / (power * factor)) - math.ceil(low / (power * factor)) < MAX_Y_TICKS
    )
    return [step * place for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _axes(layout: Any, plot: _Plot, palette: Palette) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in linear_ticks(*plot.y_range):
        y = plot.y(value)
        yield _line(LEFT, y, right, y, palette.grid)
        yield _text(LEFT - 8, y + 4, f"{value:.10g}", "end")
    for value, text in zip(layout.xaxis.tickvals, layout.xaxis.ticktext, strict=True):
        x = plot.x(value)
        yield _line(x, TOP, x, bottom, palette.grid)
        yield _text(x, bottom + 18, text, "middle")
    yield _text((LEFT + right) / 2, bottom + 42, _plain(layout.xaxis.title.text), "middle")
    middle = (TOP + bottom) / 2
    yield _text(
        18, middle, _plain(layout.yaxis.title.text), "middle", f"rotate(-90 18 {middle:.0f})"
    )


def _limits(layout: Any, plot: _Plot) -> Iterator[str]:
    for shape in layout.shapes:
        upright = shape.x0 == shape.x1
        x0, x1 = (plot.x(shape.x0),) * 2 if upright else (LEFT, WIDTH - RIGHT)
        y0, y1 = (TOP, HEIGHT - BOTTOM) if upright else (plot.y(shape.y0),) * 2
        if LEFT <= x0 <= x1 <= WIDTH - RIGHT and TOP <= y0 <= y1 <= HEIGHT - BOTTOM:
            yield _line(x0, y0, x1, y1, shape.line.color, dashes="6 4")


def _trace(trace: go.Scatter, plot: _Plot, palette: Palette) -> Iterator[str]:
    if trace.x is None or tuple(trace.x) == (None,):
        return
    if "lines" in (trace.mode or ""):
        yield from _lines(trace, plot)
    color = trace.marker.color or palette.text
    for place, (x, y) in enumerate(zip(trace.x, trace.y, strict=True)):
        size = _at(trace.marker.size, place) or 8
        if x is None or "markers" not in (trace.mode or "") or trace.marker.symbol == "arrow":
            continue
        at_x, at_y = plot.x(x), plot.y(y)
        if (ends := _ends(trace.error_x, place, x)) is not None:
            yield _line(plot.x(ends[0]), at_y, plot.x(ends[1]), at_y, color, width=1.5)
        if (ends := _ends(trace.error_y, place, y)) is not None:
            yield _line(at_x, plot.y(ends[0]), at_x, plot.y(ends[1]), color, width=1.5)
        title = _tooltip(trace.customdata, place)
        yield f"<g>{title}{_mark(_at(trace.marker.symbol, place), at_x, at_y, size / 2, color)}</g>"
        text = _at(trace.text, place) if trace.text is not None else None
        if text:
            yield _text(at_x + 10, at_y - 8 if "?" in text else at_y + 4, _plain(text), "start")


def _lines(trace: go.Scatter, plot: _Plot) -> Iterator[str]:
    """The segments of a trace; `vh` and `hv`: as steps; marks of arrows: a head at each end."""
    ends = list(zip(trace.x, trace.y, strict=True))
    for (x0, y0), (x1, y1) in pairwise(ends):
        if x0 is None or x1 is None:
            continue
        a, b = (plot.x(x0), plot.y(y0)), (plot.x(x1), plot.y(y1))
        corner = {"vh": [(a[0], b[1])], "hv": [(b[0], a[1])]}.get(trace.line.shape, [])
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (a, *corner, b))
        dashes = ' stroke-dasharray="2 3"' if trace.line.dash else ""
        yield (
            f'<polyline points="{points}" fill="none" stroke="{trace.line.color}" '
            f'stroke-width="{trace.line.width}"{dashes}/>'
        )
        if trace.marker.symbol == "arrow":
            yield _arrow_head(a, b, trace.marker.color)


def _arrow_head(a: tuple[float, float], b: tuple[float, float], color: str) -> str:
    angle = math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))
    place = f"translate({b[0]:.1f} {b[1]:.1f}) rotate({angle:.1f})"
    return f'<path d="M-6 0L-13 3.5V-3.5Z" fill="{color}" transform="{place}"/>'


def _ends(bars: Any, place: int, value: float) -> tuple[float, float] | None:
    """The ends of the interval around a value; None where it has none."""
    if bars.array is None or bars.array[place] != bars.array[place]:
        return None
    low, high = value - bars.arrayminus[place], value + bars.array[place]
    return (low, high) if high > low else None


def _mark(symbol: str, x: float, y: float, r: float, color: str) -> str:
    """A mark; hollow for `-open`, with a dot for `-open-dot`."""
    hollow = "-open" in symbol
    name = symbol.partition("-open")[0].removesuffix("-thin")
    fill = f'fill="{"none" if hollow else color}" stroke="{color}" stroke-width="2"'
    if name == "circle":
        drawn = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" {fill} pointer-events="all"/>'
    else:
        outline = _OUTLINES.get(name, _OUTLINES["square"])
        points = " ".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in outline)
        drawn = f'<polygon points="{points}" {fill} pointer-events="all"/>'
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.5" fill="{color}"/>'
    return drawn + (dot if symbol.endswith("-dot") else "")


_OUTLINES: dict[str, Sequence[tuple[float, float]]] = {
    "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    "triangle-up": ((0, -1.2), (1.2, 1), (-1.2, 1)),
    "pentagon": ((0, -1.2), (1.14, -0.37), (0.7, 0.97), (-0.7, 0.97), (-1.14, -0.37)),
    "x": ((-1, -1), (0, 0), (1, -1), (0, 0), (1, 1), (0, 0), (-1, 1), (0, 0)),
}
"""Outlines of marks around their center, in radii."""


def _annotations(layout: Any, plot: _Plot, palette: Palette) -> Iterator[str]:
    for note in layout.annotations:
        if "domain" in f"{note.xref} {note.yref}":  # the value of a limit, at the plot's edge
            upright = "domain" in str(note.yref)
            x = plot.x(note.x) if upright else WIDTH - RIGHT
            y = TOP - 4 if upright else plot.y(note.y) - 4
            if x >= LEFT and TOP - 4 <= y <= HEIGHT - BOTTOM:
                yield _text(x, y, _plain(note.text), "middle" if upright else "end")
            continue
        x, y = plot.x_log(note.x) + (note.xshift or 0), plot.y(note.y) - (note.yshift or 0)
        down = {"top": 11, "middle": 4, "bottom": 0}[note.yanchor or "middle"]
        yield _text(x, y + down, _plain(note.text), _ANCHORS[note.xanchor or "center"], size=12)


def _legend(traces: Iterable[go.Scatter], palette: Palette) -> Iterator[str]:
    """One entry for each trace that has one, in lines above the plot."""
    x, y = float(LEFT), 18.0
    for trace in traces:
        if trace.showlegend is False or not trace.name:
            continue
        width = 30 + LETTER_PX * len(_plain(trace.name))
        if x + width > WIDTH - RIGHT and x > LEFT:
            x, y = float(LEFT), y + LEGEND_LINE_PX
        if trace.mode == "lines":
            yield _line(x, y - 4, x + 16, y - 4, trace.line.color, dashes="2 3")
        else:
            color = trace.marker.color or palette.text
            yield _mark(_at(trace.marker.symbol, 0), x + 8, y - 4, 5.5, color)
        yield _text(x + 22, y, _plain(trace.name), "start")
        x += width + 14


def _tooltip(customdata: Any, place: int) -> str:
    if customdata is None:
        return ""
    card = customdata[place]
    card = card if isinstance(card, str) else card[0]
    return f"<title>{_TAG.sub('', str(card).replace('<br>', chr(10)))}</title>"


def _at(values: Any, place: int) -> Any:
    """The value of a mark, where all share one or each has its own."""
    return values[place] if isinstance(values, list | tuple) else values


def _plain(text: str) -> str:
    """The text of a label without tags; its escaped characters stay so, for SVG too."""
    return _TAG.sub("", text.replace("<br>", " "))


def _text(x: float, y: float, escaped: str, anchor: str, transform: str = "", size: int = 0) -> str:
    options = f' transform="{transform}"' if transform else ""
    options += f' font-size="{size}"' if size else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{options}>{escaped}</text>'


def _line(
    x0: float, y0: float, x1: float, y1: float, color: str, width: float = 1, dashes: str = ""
) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width}"{dashed}/>'
