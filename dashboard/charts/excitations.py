"""Channel excitations of SE blocks: one image vs the mean over a dataset."""

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
    """Positions of the last SE block of each stage."""
    return [n for n, stage in enumerate(stages) if n + 1 == len(stages) or stages[n + 1] != stage]


def excitations(
    names: list[str],
    image: list[np.ndarray],
    mean: list[np.ndarray] | None,
    palette: Palette,
) -> go.Figure:
    """One panel per SE block: gate over channels, sorted by the dataset mean if it is given."""
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
            lines.append((mean[place], "dataset mean", palette.published, 2.5))
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
    figure.update_yaxes(title={"text": "SE gate (1 = unchanged)"}, col=1)
    sort_key = "dataset mean" if mean is not None else "gate"
    for place in range(max(0, len(names) - COLUMNS), len(names)):  # the bottom panel of each column
        figure.update_xaxes(
            title={"text": f"channels, sorted by {sort_key}"},
            row=place // COLUMNS + 1,
            col=place % COLUMNS + 1,
        )
    return figure.update_layout(legend={"y": 1.0 + 50 / (90 + ROW_HEIGHT * rows)}, margin={"t": 64})


def takeaway(image: list[np.ndarray], mean: list[np.ndarray] | None, names: list[str]) -> str:
    """The block with the largest difference from the dataset mean, or the range of mean gates."""
    if mean is None:
        gates = [float(values.mean()) for values in image]
        return (
            f"Mean SE gate: {number(min(gates), 2)} to {number(max(gates), 2)} over the blocks "
            f"shown. 1 leaves a channel unchanged, 0 switches it off."
        )
    differences = [
        float(np.abs(values - usual).mean()) for values, usual in zip(image, mean, strict=True)
    ]
    largest = int(np.argmax(differences))
    return (
        f"Largest difference from the dataset mean: {names[largest]}, "
        f"{number(differences[largest], 3)} per channel on average. Smallest: "
        f"{number(min(differences), 3)}."
    )
