"""Names beside the points of a chart: as many as find room, none over another or over a mark."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.charts.common import safe
from dashboard.palette import Palette

MOST_NAMES = 10
FONT_SIZE, LETTER_PX, LINE_PX = 11, 6.2, 15.0
# What a chart measures on a narrow screen; on a wider one there is more room, never less.
PLOT_PX = (300.0, 300.0)
MARK_PX = 9.0
# xanchor, yanchor: where the name stands, the first choice first.
_SIDES = (("left", "middle"), ("right", "middle"), ("center", "bottom"), ("center", "top"))


@dataclass(frozen=True, slots=True)
class Named:
    """A point at (x, y) as shares of the plot, both from the lower left, with its name."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """A name with the side on which it found room."""

    named: Named
    xanchor: str
    yanchor: str


Box = tuple[float, float, float, float]


def brief_names(labels: Iterable[str]) -> dict[str, str]:
    """`timm/seresnet50 (imported: x)` as `seresnet50`, unless two labels would read the same."""
    whole = list(dict.fromkeys(labels))
    short = {label: label.partition(" (")[0].rpartition("/")[2] for label in whole}
    read = Counter(short.values())
    return {label: text if read[text] == 1 else label for label, text in short.items()}


def place_names(
    points: list[Named],
    taken: list[tuple[float, float]],
    faint: Sequence[tuple[float, float]] = (),
) -> list[Place]:
    """The first MOST_NAMES of `points` that find room.

    `taken` are marks that no name may hide; over `faint` ones a name stands only where it has no
    other room.
    """
    full = [_around(*_px(*mark)) for mark in taken]
    avoided = [_around(*_px(*mark)) for mark in faint]
    placed: list[Place] = []
    for point in points:
        own = _around(*_px(point.x, point.y))
        others = [box for box in full if box != own]
        found = _side_with_room(point, [*others, *avoided]) or _side_with_room(point, others)
        if found is not None:
            placed.append(found)
            full.append(_box(point, found.xanchor, found.yanchor))
        if len(placed) == MOST_NAMES:
            break
    return placed


def _side_with_room(point: Named, others: list[Box]) -> Place | None:
    for xanchor, yanchor in _SIDES:
        box = _box(point, xanchor, yanchor)
        if _inside(box) and not any(_meet(box, other) for other in others):
            return Place(point, xanchor, yanchor)
    return None


def add_names(
    figure: go.Figure,
    points: list[tuple[float, float, str]],
    taken: list[tuple[float, float]],
    palette: Palette,
    faint: Sequence[tuple[float, float]] = (),
) -> None:
    """Writes names beside (x, y, name) on a figure whose axes have ranges, x in log10.

    `taken` and `faint` as for `place_names`, in the chart's own values.
    """
    (left, right), (low, high) = figure.layout.xaxis.range, figure.layout.yaxis.range

    def share(x: float, y: float) -> tuple[float, float]:
        return (math.log10(x) - left) / (right - left), (y - low) / (high - low)

    named = [Named(*share(x, y), text) for x, y, text in points]
    marks, aside = [share(x, y) for x, y in taken], [share(x, y) for x, y in faint]
    for place in place_names(named, marks, aside):
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


def _around(x: float, y: float) -> Box:
    half = MARK_PX - 2
    return x - half, y - half, x + half, y + half


def _box(point: Named, xanchor: str, yanchor: str) -> Box:
    x, y = _px(point.x, point.y)
    width = LETTER_PX * len(point.text)
    left = {"left": x + MARK_PX, "right": x - MARK_PX - width, "center": x - width / 2}[xanchor]
    lower = {"middle": y - LINE_PX / 2, "bottom": y + MARK_PX, "top": y - MARK_PX - LINE_PX}[
        yanchor
    ]
    return left, lower, left + width, lower + LINE_PX


def _inside(box: Box) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= PLOT_PX[0] and box[3] <= PLOT_PX[1]


def _meet(one: Box, other: Box) -> bool:
    apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    return not apart
