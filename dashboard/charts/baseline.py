"""Accuracy of several builds against one of them, image by image."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import MARKER_SIZE, card, layout, safe, whiskers
from dashboard.charts.names import brief_names
from dashboard.formats import signed
from dashboard.palette import Palette, symbols

ROW_HEIGHT, FRAME_HEIGHT, BELOW = 36, 145, 80
# In lines that find room below a plot that long names have left narrow.
AXIS = "top-1 minus the reference<br>(points), paired 95 %<br>interval, better →"


def against_one(rows: pd.DataFrame, reference: str, palette: Palette) -> go.Figure:
    """Points of top-1 of each build minus `reference`, with the paired 95 % interval.

    Columns: key, precision, change, change_low, change_high (points), p_value, only_here,
    only_reference (images); the best last, so that it stands on top.
    """
    rows = rows.sort_values("change").reset_index(drop=True)
    names = rows["key"].map(brief_keys(rows["key"]))
    figure = go.Figure()
    for precision, symbol in symbols().items():
        some = rows["precision"] == precision
        if some.any():
            color = palette.precisions[precision]
            figure.add_trace(_marks(rows[some], names[some], reference, symbol, color))
    figure.add_vline(x=0, line={"color": palette.text, "width": 1})
    for name, change in zip(names, rows["change"], strict=True):
        figure.add_annotation(
            x=change,
            y=safe(name),
            text=signed(change, 2),
            showarrow=False,
            yshift=16,
            font={"size": 12, "color": palette.text},
        )
    low, high = min([0.0, *rows["change_low"]]), max([0.0, *rows["change_high"]])
    pad = 0.12 * (high - low or 1.0)
    figure.update_xaxes(
        range=[low - pad, high + pad],
        title={"text": AXIS},
    )
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[safe(name) for name in names],
        range=[-0.7, len(rows) - 0.2],
        automargin=True,
        title={"text": ""},
    )
    height = FRAME_HEIGHT + ROW_HEIGHT * max(len(rows), 3)
    return layout(figure, palette, height=height).update_layout(margin={"b": BELOW})


def brief_keys(keys: pd.Series) -> dict[str, str]:
    """Keys without their source where that leaves each its own name; `model precision` stays."""
    labels = {key: key.rpartition(" ")[0] for key in keys}
    names = brief_names(labels.values())
    return {key: f"{names[label]} {key.rpartition(' ')[2]}" for key, label in labels.items()}


def _marks(
    rows: pd.DataFrame, names: pd.Series, reference: str, symbol: str, color: str
) -> go.Scatter:
    return go.Scatter(
        x=rows["change"],
        y=[safe(name) for name in names],
        error_x=whiskers(rows["change"], rows["change_low"], rows["change_high"], color),
        mode="markers",
        name=str(rows["precision"].iloc[0]),
        marker={"symbol": symbol, "size": MARKER_SIZE, "color": color},
        customdata=[_card(row, reference) for row in rows.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=True,
    )


def _card(row: dict[str, Any], reference: str) -> str:
    return card(
        [
            f"<b>{safe(row['key'])}</b>",
            f"minus {safe(reference)}: {signed(row['change'], 2)} points "
            f"({signed(row['change_low'], 2)} to {signed(row['change_high'], 2)})",
            f"right only here {row['only_here']:,}, only there {row['only_reference']:,}",
            f"McNemar p = {row['p_value']:.2g}",
        ]
    )
