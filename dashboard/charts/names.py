"""Labels beside the points of a chart that overlap neither each other nor the marks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.common import safe
from dashboard.palette import Palette

MAX_NAMES = 10
FONT_SIZE, LETTER_PX, LINE_PX = 11, 6.2, 15.0
PLOT_HEIGHT_PX = 300.0
PLOT_WIDTHS_PX = (300.0, 450.0, 650.0, 850.0)
"""Plot sizes from a phone to a wide window: a name has to be clear at each of them."""
MARK_PX, LINE_HALF_PX = 9.0, 2.0
# (xanchor, yanchor) of a name, in order of preference.
_SIDES = (
    *(("left", "middle"), ("right", "middle"), ("center", "bottom"), ("center", "top")),
    *(("left", "bottom"), ("left", "top"), ("right", "bottom"), ("right", "top")),
)


@dataclass(frozen=True, slots=True)
class Named:
    """A point with its name; x and y as shares of the plot, from the lower left corner."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """A placed name and its side."""

    named: Named
    xanchor: str
    yanchor: str


Box = tuple[float, float, float, float]
Segment = tuple[float, float, float, float]
"""A straight line from (x0, y0) to (x1, y1)."""


def brief_names(labels: Iterable[str]) -> dict[str, str]:
    """Shortens `timm/seresnet50 (imported: x)` to `seresnet50` if the result is unique."""
    unique = list(dict.fromkeys(labels))
    short = {label: label.partition(" (")[0].rpartition("/")[2] for label in unique}
    counts = Counter(short.values())
    return {label: text if counts[text] == 1 else label for label, text in short.items()}


def place_names(
    points: list[Named],
    occupied: list[tuple[float, float]],
    avoid: Sequence[tuple[float, float]] = (),
    texts: Sequence[Place] = (),
    lines: Sequence[Segment] = (),
) -> list[Place]:
    """Places the first MAX_NAMES of `points` that have space.

    `occupied`: marks that no name may cover, nor the `texts` beside them, nor `lines`.
    `avoid`: points that a name covers only if it has no other place.
    """
    plots = [_Plot(width, occupied, avoid, texts, lines) for width in PLOT_WIDTHS_PX]
    placed: list[Place] = []
    for point in points:
        sides = [(plot.free(point, faint=True), plot.free(point, faint=False)) for plot in plots]
        clear, possible = (set.intersection(*found) for found in zip(*sides, strict=True))
        side = next((side for side in _SIDES if side in (clear or possible)), None)
        if side is not None:
            placed.append(Place(point, *side))
            for plot in plots:
                plot.add(_name_box(plot.width, point, *side))
        if len(placed) == MAX_NAMES:
            break
    return placed


class _Plot:
    """What names must not cover in a plot of one width, in pixels."""

    def __init__(
        self,
        width: float,
        occupied: Sequence[tuple[float, float]],
        avoid: Sequence[tuple[float, float]],
        texts: Sequence[Place],
        lines: Sequence[Segment],
    ) -> None:
        self.width = width
        self.marks = _boxes([_mark_box(width, *mark) for mark in occupied])
        self.avoided = _boxes([_mark_box(width, *mark) for mark in avoid])
        self.texts = [_name_box(width, t.named, t.xanchor, t.yanchor) for t in texts]
        scale = np.array([width, PLOT_HEIGHT_PX, width, PLOT_HEIGHT_PX])
        self.lines = np.asarray(lines, float).reshape(-1, 4) * scale

    def add(self, box: Box) -> None:
        """No later name may cover `box`."""
        self.texts.append(box)

    def free(self, point: Named, *, faint: bool) -> set[tuple[str, str]]:
        """The sides of a point where its name covers nothing; `faint`: nor what is avoided."""
        own = np.array(_mark_box(self.width, point.x, point.y))
        marks = self.marks[(self.marks != own).any(axis=1)]
        others = np.concatenate([marks, _boxes(self.texts), *([self.avoided] if faint else [])])
        boxes = {side: _name_box(self.width, point, *side) for side in _SIDES}
        return {
            side
            for side, box in boxes.items()
            if _inside(box, self.width)
            and not _overlaps(box, others).any()
            and not _crossed(box, self.lines).any()
        }


def add_names(
    figure: go.Figure,
    points: list[tuple[float, float, str]],
    occupied: list[tuple[float, float]],
    palette: Palette,
    texts: Sequence[tuple[float, float, str, str]] = (),
    lines: Sequence[Segment] = (),
) -> None:
    """Adds the names of (x, y, name) to a figure whose axes have ranges (x axis: log10).

    `occupied`, `texts` (x, y, text, yanchor) and `lines` as for `place_names`, in data coordinates;
    a line may end at infinity, the edge of the plot.
    """
    (left, right), (low, high) = figure.layout.xaxis.range, figure.layout.yaxis.range

    def share(x: float, y: float) -> tuple[float, float]:
        across = math.log10(x) if 0 < x < math.inf else math.copysign(math.inf, x - 1)
        return (across - left) / (right - left), (y - low) / (high - low)

    named = [Named(*share(x, y), text) for x, y, text in points]
    marks = [share(x, y) for x, y in occupied]
    beside = [Place(Named(*share(x, y), text), "left", anchor) for x, y, text, anchor in texts]
    ends = np.array([(*share(x0, y0), *share(x1, y1)) for x0, y0, x1, y1 in lines])
    drawn: list[Segment] = [tuple(row) for row in ends.clip(-1.0, 2.0)] if lines else []
    for place in place_names(named, marks, (), beside, drawn):
        figure.add_annotation(
            x=left + place.named.x * (right - left),
            y=low + place.named.y * (high - low),
            text=safe(place.named.text),
            showarrow=False,
            xanchor=place.xanchor,
            yanchor=place.yanchor,
            xshift={"left": MARK_PX, "right": -MARK_PX, "center": 0}[place.xanchor],
            yshift={"bottom": MARK_PX, "top": -MARK_PX, "middle": 0}[place.yanchor],
            font={"size": FONT_SIZE, "color": palette.text},
        )


def _boxes(boxes: Sequence[Box]) -> np.ndarray:
    return np.asarray(boxes, float).reshape(-1, 4)


def _mark_box(plot_width: float, x: float, y: float) -> Box:
    half = MARK_PX - 2
    x, y = x * plot_width, y * PLOT_HEIGHT_PX
    return x - half, y - half, x + half, y + half


def _name_box(plot_width: float, point: Named, xanchor: str, yanchor: str) -> Box:
    x, y = point.x * plot_width, point.y * PLOT_HEIGHT_PX
    width = LETTER_PX * len(point.text)
    left = {"left": x + MARK_PX, "right": x - MARK_PX - width, "center": x - width / 2}[xanchor]
    lower = {"middle": y - LINE_PX / 2, "bottom": y + MARK_PX, "top": y - MARK_PX - LINE_PX}[
        yanchor
    ]
    return left, lower, left + width, lower + LINE_PX


def _inside(box: Box, plot_width: float) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= plot_width and box[3] <= PLOT_HEIGHT_PX


def _overlaps(box: Box, others: np.ndarray) -> np.ndarray:
    """Whether each of `others` (n, 4) has an area in common with `box`."""
    left, lower, right, upper = others.T
    return (left < box[2]) & (right > box[0]) & (lower < box[3]) & (upper > box[1])


def _crossed(box: Box, segments: np.ndarray) -> np.ndarray:
    """Whether each segment (n, 4) passes through `box`, or within LINE_HALF_PX of it.

    A segment misses a box if they are apart in x or in y, or if all corners of the box lie on one
    side of its line.
    """
    x0, y0, x1, y1 = segments.T
    left, lower = box[0] - LINE_HALF_PX, box[1] - LINE_HALF_PX
    right, upper = box[2] + LINE_HALF_PX, box[3] + LINE_HALF_PX
    near = (np.minimum(x0, x1) < right) & (np.maximum(x0, x1) > left)
    near &= (np.minimum(y0, y1) < upper) & (np.maximum(y0, y1) > lower)
    corners = ((left, lower), (left, upper), (right, lower), (right, upper))
    sides = np.array([(x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) for x, y in corners])
    return near & (sides.min(axis=0) <= 0) & (sides.max(axis=0) >= 0)
