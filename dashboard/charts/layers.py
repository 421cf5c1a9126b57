"""What int8 did to each layer: the signal that is left, the worst layers first."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import layout, safe
from dashboard.palette import Palette
from db.enums import Precision

MOST_LAYERS = 20
ROW_HEIGHT = 24
FRAME_HEIGHT = 90


def layer_signal(layers: pd.DataFrame, column: str, palette: Palette) -> go.Figure:
    """A bar for each of the layers with least signal in `column` (dB), the worst at the top.

    Columns used: layer, macs_share, and `column`.
    """
    shown = layers[layers[column].notna()].nsmallest(MOST_LAYERS, column)
    figure = go.Figure(
        go.Bar(
            x=shown[column],
            y=[safe(name) for name in shown["layer"]],
            orientation="h",
            marker={"color": palette.precisions[Precision.INT8]},
            text=[f"{value:.1f}" for value in shown[column]],
            customdata=shown[["macs_share"]],
            hovertemplate="%{y}<br>%{x:.1f} dB<br>%{customdata[0]:.1%} of the work<extra></extra>",
        )
    )
    layout(figure, palette, height=FRAME_HEIGHT + ROW_HEIGHT * len(shown))
    figure.update_layout(showlegend=False, margin={"l": 160})
    figure.update_xaxes(title={"text": "dB, → better"})
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
