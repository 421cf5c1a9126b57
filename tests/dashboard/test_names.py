"""Names on charts: none over another name or mark, and none beyond the plot."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from dashboard.charts.names import (
    LINE_PX,
    MARK_PX,
    MAX_NAMES,
    PLOT_HEIGHT_PX,
    PLOT_WIDTHS_PX,
    Named,
    Place,
    brief_names,
    place_names,
)


def corners(place: Place, plot_width: float) -> tuple[float, float, float, float]:
    """Left, lower, right, upper of the written name, from what its anchors mean."""
    x, y = place.named.x * plot_width, place.named.y * PLOT_HEIGHT_PX
    width = 6.2 * len(place.named.text)
    left = {"left": x + MARK_PX, "right": x - MARK_PX - width, "center": x - width / 2}
    lower = {"middle": y - LINE_PX / 2, "bottom": y + MARK_PX, "top": y - MARK_PX - LINE_PX}
    begin, base = left[place.xanchor], lower[place.yanchor]
    return begin, base, begin + width, base + LINE_PX


@pytest.mark.parametrize("width", PLOT_WIDTHS_PX)
@pytest.mark.parametrize("seed", range(5))
def test_names_never_meet_and_never_leave_the_plot(seed: int, width: float) -> None:
    marks = [(float(x), float(y)) for x, y in np.random.default_rng(seed).random((40, 2))]
    placed = place_names([Named(x, y, "a model's name") for x, y in marks], marks)
    assert 2 <= len(placed) <= MAX_NAMES
    boxes = [corners(place, width) for place in placed]
    for one, other in combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for box, (x, y) in product(boxes, marks):
        inside_x = box[0] < x * width < box[2]
        assert not (inside_x and box[1] < y * PLOT_HEIGHT_PX < box[3])
        assert min(box) >= 0
        assert box[2] <= width


def test_a_name_stands_over_faint_marks_only_without_other_room() -> None:
    right_of_it = [(0.2 + n / 50, 0.5) for n in range(1, 8)]
    (place,) = place_names([Named(0.2, 0.5, "abcd")], [(0.2, 0.5)], right_of_it)
    assert place.xanchor == "right"
    everywhere = [(x / 20, y / 20) for x in range(21) for y in range(21)]
    (place,) = place_names([Named(0.2, 0.5, "abcd")], [(0.2, 0.5)], everywhere)
    assert place.xanchor == "left"


@pytest.mark.parametrize("width", PLOT_WIDTHS_PX)
@pytest.mark.parametrize("seed", range(5))
def test_names_never_stand_on_a_line(seed: int, width: float) -> None:
    random = np.random.default_rng(seed)
    marks = [(float(x), float(y)) for x, y in random.random((12, 2))]
    lines = [(*marks[n], *marks[n + 1]) for n in range(0, 12, 2)] + [(0.3, -1.0, 0.3, 2.0)]
    placed = place_names([Named(*mark, "a model's name") for mark in marks], marks, lines=lines)
    assert placed
    for place, (x0, y0, x1, y1) in product(placed, lines):
        left, lower, right, upper = corners(place, width)
        for share in np.linspace(0, 1, 500):
            x, y = width * (x0 + (x1 - x0) * share), PLOT_HEIGHT_PX * (y0 + (y1 - y0) * share)
            assert not (left < x < right and lower < y < upper)


def test_names_are_brief_unless_two_would_read_the_same() -> None:
    found = brief_names(["timm/a (imported: card)", "timm/b", "ppcls/b"])
    assert list(found.values()) == ["a", "timm/b", "ppcls/b"]
