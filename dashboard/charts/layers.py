"""SQNR of the layers of an int8 build, the lowest first."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import layout, safe
from dashboard.palette import Palette
from db.enums import Precision

MAX_LAYERS = 20
ROW_HEIGHT = 24
FRAME_HEIGHT = 90


def layer_sqnr(layers: pd.DataFrame, column: str, palette: Palette) -> go.Figure:
    """A bar per layer for the layers with the lowest SQNR in `column` (dB), the lowest at the top.

    Columns used: layer, macs_share, and `column`.
    """
    shown = layers[layers[column].notna()].nsmallest(MAX_LAYERS, column)
    figure = go.Figure(
        go.Bar(
            x=shown[column],
            y=[safe(name) for name in shown["layer"]],
            orientation="h",
            marker={"color": palette.precisions[Precision.INT8]},
            text=[f"{value:.1f}" for value in shown[column]],
            customdata=shown[["macs_share"]],
            hovertemplate="%{y}<br>%{x:.1f} dB<br>%{customdata[0]:.1%} of the MACs<extra></extra>",
        )
    )
    layout(figure, palette, height=FRAME_HEIGHT + ROW_HEIGHT * len(shown))
    figure.update_layout(showlegend=False, margin={"l": 160})
    figure.update_xaxes(title={"text": "SQNR (dB), higher is better →"})
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
