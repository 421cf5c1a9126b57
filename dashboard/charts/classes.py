"""Which classes lost accuracy from one precision to another: two marks joined by a line."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import MARKER_SIZE, layout, safe
from dashboard.formats import number, plural, signed
from dashboard.palette import Palette, symbols

MOST_CLASSES = 15
ROW_HEIGHT = 26


def worst_classes(classes: pd.DataFrame) -> pd.DataFrame:
    """The classes that lose most, at most MOST_CLASSES.

    Columns as engine.evaluation.flips.CLASS_COLUMNS.
    """
    losing = classes[classes["change"] < 0]
    return losing.nsmallest(MOST_CLASSES, "change", keep="first")


def class_changes(classes: pd.DataFrame, first: str, second: str, palette: Palette) -> go.Figure:
    """Top-1 by class at both precisions, the worst at the top; needs `name` beside the columns."""
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
    for precision, column in ((first, "first"), (second, "second")):
        figure.add_trace(
            go.Scatter(
                x=rows[column],
                y=names,
                mode="markers",
                name=precision,
                marker={
                    "symbol": symbols()[precision],
                    "size": MARKER_SIZE,
                    "color": palette.precisions[precision],
                },
                cliponaxis=False,
                hovertemplate=f"%{{y}}<br>{precision}: %{{x:.1f}} %<extra></extra>",
            )
        )
    figure.update_xaxes(range=[-3, 103], title={"text": "top-1 of the class (%)"})
    figure.update_yaxes(type="category", automargin=True, title={"text": ""})
    return layout(figure, palette, height=130 + ROW_HEIGHT * max(4, len(rows)))


def takeaway(classes: pd.DataFrame, lost: int, gained: int, images: int) -> str:
    """How many images changed sides, and the class that lost most."""
    if not lost and not gained:
        return f"All {plural(images, 'image')} are judged alike."
    told = f"{plural(lost, 'image')} of {images:,} lost, {gained:,} gained."
    worst = worst_classes(classes)
    if worst.empty:
        return told
    top = worst.iloc[0]
    return (
        f"{told} Most lost: {top['name']}, {signed(top['change'])} points "
        f"({number(top['first'], 0)} to {number(top['second'], 0)} %, "
        f"{plural(int(top['images']), 'image')})."
    )
