"""Time of one inference by operator, with the share of SE blocks."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import layout, safe
from dashboard.palette import Palette

MAX_OPERATORS = 14
ROW_HEIGHT = 26
FRAME_HEIGHT = 110


def time_by_operator(operators: pd.DataFrame, color: str, palette: Palette) -> go.Figure:
    """Time (ms) by operator, the slowest at the top; the part inside SE blocks is hatched.

    Columns used: op, nodes, share, se_ms, rest_ms. `color` is that of the build's precision.
    """
    shown = operators.head(MAX_OPERATORS)
    names = [f"{safe(row.op)} ({row.nodes})" for row in shown.itertuples()]
    figure = go.Figure()
    hatched = {"shape": "/", "bgcolor": color, "fgcolor": palette.background, "solidity": 0.25}
    for column, name, pattern in (
        ("rest_ms", "outside SE blocks", {}),
        ("se_ms", "in SE blocks", hatched),
    ):
        figure.add_trace(
            go.Bar(
                x=shown[column],
                y=names,
                orientation="h",
                name=name,
                marker={"color": color, "pattern": pattern},
                customdata=shown[["share"]],
                hovertemplate=f"%{{y}}<br>%{{x:.3g}} ms {name}<br>operator in total: "
                "%{customdata[0]:.1%}<extra></extra>",
            )
        )
    layout(figure, palette, height=FRAME_HEIGHT + ROW_HEIGHT * len(shown))
    figure.update_layout(barmode="stack", margin={"l": 180})
    figure.update_xaxes(title={"text": "ms, ← lower is better"})
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
