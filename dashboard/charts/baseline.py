"""Accuracy of several builds vs a baseline build, paired by image."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import MARKER_SIZE, card, layout, safe, whiskers
from dashboard.charts.names import brief_names
from dashboard.formats import signed
from dashboard.palette import Palette, symbols

ROW_HEIGHT, FRAME_HEIGHT, BELOW = 36, 145, 80
# In short lines: long names make the plot narrow.
AXIS = "top-1 minus baseline<br>(pp), paired 95 %<br>interval, better →"


def baseline_differences(rows: pd.DataFrame, baseline: str, palette: Palette) -> go.Figure:
    """Top-1 of each build minus that of `baseline` (pp), with the paired 95 % interval.

    Columns: key, precision, change, change_low, change_high (pp), p_value, only_build,
    only_baseline (images that only one classifies correctly). The best build is at the top.
    """
    rows = rows.sort_values("change").reset_index(drop=True)
    names = rows["key"].map(brief_keys(rows["key"]))
    figure = go.Figure()
    for precision, symbol in symbols().items():
        selected = rows["precision"] == precision
        if selected.any():
            color = palette.precisions[precision]
            figure.add_trace(_marks(rows[selected], names[selected], baseline, symbol, color))
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
    """Keys without the source of the model, if they stay unique: `model precision`."""
    labels = {key: key.rpartition(" ")[0] for key in keys}
    names = brief_names(labels.values())
    return {key: f"{names[label]} {key.rpartition(' ')[2]}" for key, label in labels.items()}


def _marks(
    rows: pd.DataFrame, names: pd.Series, baseline: str, symbol: str, color: str
) -> go.Scatter:
    return go.Scatter(
        x=rows["change"],
        y=[safe(name) for name in names],
        error_x=whiskers(rows["change"], rows["change_low"], rows["change_high"], color),
        mode="markers",
        name=str(rows["precision"].iloc[0]),
        marker={"symbol": symbol, "size": MARKER_SIZE, "color": color},
        customdata=[_card(row, baseline) for row in rows.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=True,
    )


def _card(row: dict[str, Any], baseline: str) -> str:
    return card(
        [
            f"<b>{safe(row['key'])}</b>",
            f"vs {safe(baseline)}: {signed(row['change'], 2)} pp top-1 "
            f"({signed(row['change_low'], 2)} to {signed(row['change_high'], 2)})",
            f"correct only in this build: {row['only_build']:,}, "
            f"only in the baseline: {row['only_baseline']:,}",
            f"McNemar p = {row['p_value']:.2g}",
        ]
    )
