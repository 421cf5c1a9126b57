"""Channel excitations of SE blocks: this image against the mean of a dataset."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.common import layout, safe
from dashboard.formats import number
from dashboard.palette import Palette
from engine.specs.precisions import REFERENCE

COLUMNS = 2
ROW_HEIGHT = 200


def last_of_stages(stages: list[int]) -> list[int]:
    """Positions of the last block of each stage."""
    return [n for n, stage in enumerate(stages) if n + 1 == len(stages) or stages[n + 1] != stage]


def excitations(
    names: list[str],
    image: list[np.ndarray],
    mean: list[np.ndarray] | None,
    palette: Palette,
) -> go.Figure:
    """One panel a block: excitation over the channels, in the order of their mean if given."""
    rows = -(-len(names) // COLUMNS)
    figure = make_subplots(
        rows=rows,
        cols=COLUMNS,
        subplot_titles=[safe(name).replace(" (", "<br>(") for name in names],
        vertical_spacing=0.34 / rows,
        horizontal_spacing=0.1,
    )
    for place, values in enumerate(image):
        row, column = place // COLUMNS + 1, place % COLUMNS + 1
        order = np.argsort(mean[place] if mean is not None else values, kind="stable")
        channels = [f"channel {channel}" for channel in order]
        lines = [(values, "this image", palette.precisions[REFERENCE], 1.2)]
        if mean is not None:
            lines.append((mean[place], "mean of the dataset", palette.published, 2.5))
        for line, name, color, width in lines:
            figure.add_trace(
                go.Scatter(
                    x=np.arange(len(order)),
                    y=np.round(line[order], 4),
                    mode="lines",
                    name=name,
                    legendgroup=name,
                    showlegend=place == 0,
                    line={"color": color, "width": width},
                    text=channels,
                    hovertemplate=f"%{{text}}: %{{y:.3f}}<extra>{name}</extra>",
                ),
                row=row,
                col=column,
            )
    figure = layout(figure, palette, height=90 + ROW_HEIGHT * rows)
    figure.update_annotations(font={"size": 12, "color": palette.text})
    figure.update_yaxes(range=[-0.02, 1.05])
    figure.update_xaxes(showticklabels=False, title={"text": ""})
    figure.update_yaxes(title={"text": "weight, 1: kept whole"}, col=1)
    rising = "mean" if mean is not None else "weight"
    for place in range(max(0, len(names) - COLUMNS), len(names)):  # the lowest of each column
        figure.update_xaxes(
            title={"text": f"channels, by rising {rising}"},
            row=place // COLUMNS + 1,
            col=place % COLUMNS + 1,
        )
    return figure.update_layout(legend={"y": 1.0 + 50 / (90 + ROW_HEIGHT * rows)}, margin={"t": 64})


def takeaway(image: list[np.ndarray], mean: list[np.ndarray] | None, names: list[str]) -> str:
    """Where this image departs most from the dataset, or how far the gates open."""
    if mean is None:
        opened = [float(values.mean()) for values in image]
        return (
            f"Mean excitation {number(min(opened), 2)} to {number(max(opened), 2)} over the blocks "
            f"shown; 1 leaves a channel as it is, 0 switches it off."
        )
    departures = [
        float(np.abs(values - usual).mean()) for values, usual in zip(image, mean, strict=True)
    ]
    most = int(np.argmax(departures))
    return (
        f"This image departs most from the dataset in {names[most]}: {number(departures[most], 3)} "
        f"a channel on average; least {number(min(departures), 3)}."
    )
