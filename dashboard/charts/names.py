"""Labels beside the points of a chart that overlap neither each other nor the marks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.charts.common import safe
from dashboard.palette import Palette

MAX_NAMES = 10
FONT_SIZE, LETTER_PX, LINE_PX = 11, 6.2, 15.0
# Plot size on a narrow screen; wider screens have more space.
PLOT_PX = (300.0, 300.0)
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
    lines: Sequence[tuple[float, float]] = (),
) -> list[Place]:
    """Places the first MAX_NAMES of `points` that have space.

    `occupied`: marks that no name may cover, nor the `texts` beside them, nor points on `lines`.
    `avoid`: points that a name covers only if it has no other place.
    """
    occupied_boxes = [_mark_box(*_px(*mark)) for mark in occupied]
    occupied_boxes += [_name_box(text.named, text.xanchor, text.yanchor) for text in texts]
    occupied_boxes += [_box(*_px(*point), LINE_HALF_PX) for point in lines]
    avoided_boxes = [_mark_box(*_px(*mark)) for mark in avoid]
    placed: list[Place] = []
    for point in points:
        own = _mark_box(*_px(point.x, point.y))
        others = [box for box in occupied_boxes if box != own]
        place = _free_side(point, [*others, *avoided_boxes]) or _free_side(point, others)
        if place is not None:
            placed.append(place)
            occupied_boxes.append(_name_box(point, place.xanchor, place.yanchor))
        if len(placed) == MAX_NAMES:
            break
    return placed


def _free_side(point: Named, others: list[Box]) -> Place | None:
    for xanchor, yanchor in _SIDES:
        box = _name_box(point, xanchor, yanchor)
        if _inside(box) and not any(_overlap(box, other) for other in others):
            return Place(point, xanchor, yanchor)
    return None


def add_names(
    figure: go.Figure,
    points: list[tuple[float, float, str]],
    occupied: list[tuple[float, float]],
    palette: Palette,
    texts: Sequence[tuple[float, float, str, str]] = (),
    lines: Sequence[tuple[float, float]] = (),
) -> None:
    """Adds the names of (x, y, name) to a figure whose axes have ranges (x axis: log10).

    `occupied`, `texts` (x, y, text, yanchor) and `lines` as for `place_names`, in data coordinates.
    """
    (left, right), (low, high) = figure.layout.xaxis.range, figure.layout.yaxis.range

    def share(x: float, y: float) -> tuple[float, float]:
        return (math.log10(x) - left) / (right - left), (y - low) / (high - low)

    named = [Named(*share(x, y), text) for x, y, text in points]
    marks = [share(x, y) for x, y in occupied]
    beside = [Place(Named(*share(x, y), text), "left", anchor) for x, y, text, anchor in texts]
    drawn = [share(x, y) for x, y in lines]
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


def _px(x: float, y: float) -> tuple[float, float]:
    return x * PLOT_PX[0], y * PLOT_PX[1]


def _mark_box(x: float, y: float) -> Box:
    return _box(x, y, MARK_PX - 2)


def _box(x: float, y: float, half: float) -> Box:
    return x - half, y - half, x + half, y + half


def _name_box(point: Named, xanchor: str, yanchor: str) -> Box:
    x, y = _px(point.x, point.y)
    width = LETTER_PX * len(point.text)
    left = {"left": x + MARK_PX, "right": x - MARK_PX - width, "center": x - width / 2}[xanchor]
    lower = {"middle": y - LINE_PX / 2, "bottom": y + MARK_PX, "top": y - MARK_PX - LINE_PX}[
        yanchor
    ]
    return left, lower, left + width, lower + LINE_PX


def _inside(box: Box) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= PLOT_PX[0] and box[3] <= PLOT_PX[1]


def _overlap(a: Box, b: Box) -> bool:
    return not (a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1])
