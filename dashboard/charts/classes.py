"""Accuracy change by class between two precisions, as a dumbbell chart."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import MARKER_SIZE, layout, safe
from dashboard.formats import number, plural, signed
from dashboard.palette import Palette, symbols

MAX_CLASSES = 15
ROW_HEIGHT = 26


def worst_classes(classes: pd.DataFrame) -> pd.DataFrame:
    """The classes with the largest accuracy loss, at most MAX_CLASSES.

    Columns as engine.evaluation.flips.CLASS_COLUMNS.
    """
    worse = classes[classes["change"] < 0]
    return worse.nsmallest(MAX_CLASSES, "change", keep="first")


def class_changes(classes: pd.DataFrame, first: str, second: str, palette: Palette) -> go.Figure:
    """Top-1 by class on both sides, the largest loss at the top.

    `first` and `second`: a precision, or one in a runtime (`int8 in OpenVINO`); of one precision in
    two runtimes, the second has open marks. Columns as from `worst_classes`, with the class name in
    `name`.
    """
    rows = classes.iloc[::-1]
    names = [
        f"{safe(name)} ({images})"
        for name, images in zip(rows["name"], rows["images"], strict=True)
    ]
    figure = go.Figure()
    xs: list[float | None] = []
    ys: list[str | None] = []
    for name, start, end in zip(names, rows["first"], rows["second"], strict=True):
        xs, ys = [*xs, start, end, None], [*ys, name, name, None]
    figure.add_trace(
        go.Scatter(
            x=xs, y=ys, mode="lines", hoverinfo="skip", showlegend=False,
            line={"color": palette.published, "width": 2},
        )
    )  # fmt: skip
    precisions = [side.partition(" ")[0] for side in (first, second)]
    marks = [symbols()[precision] for precision in precisions]
    if precisions[0] == precisions[1]:
        marks[1] += "-open"
    sides = ((first, "first"), (second, "second"))
    for (side, column), precision, mark in zip(sides, precisions, marks, strict=True):
        figure.add_trace(
            go.Scatter(
                x=rows[column],
                y=names,
                mode="markers",
                name=side,
                marker={
                    "symbol": mark,
                    "size": MARKER_SIZE,
                    "color": palette.precisions[precision],
                },
                cliponaxis=False,
                hovertemplate=f"%{{y}}<br>{side}: %{{x:.1f}} %<extra></extra>",
            )
        )
    figure.update_xaxes(range=[-3, 103], title={"text": "top-1 of the class (%)"})
    figure.update_yaxes(type="category", automargin=True, title={"text": ""})
    return layout(figure, palette, height=130 + ROW_HEIGHT * max(4, len(rows)))


def takeaway(classes: pd.DataFrame, lost: int, gained: int, images: int) -> str:
    """How many images became wrong or right, and the class with the largest loss."""
    if not lost and not gained:
        return f"No difference: all {plural(images, 'image')} keep their result."
    text = f"Of {plural(images, 'image')}, {lost:,} became wrong and {gained:,} became correct."
    worst = worst_classes(classes)
    if worst.empty:
        return text
    top = worst.iloc[0]
    return (
        f"{text} Largest loss: {top['name']}, {signed(top['change'])} pp "
        f"({number(top['first'], 0)} to {number(top['second'], 0)} %, "
        f"{plural(int(top['images']), 'image')})."
    )
