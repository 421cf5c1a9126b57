"""How strongly each stage gates an image: the mean SE gate, against the class and the dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.common import layout
from dashboard.formats import number, signed
from dashboard.palette import Palette
from engine.specs.precisions import REFERENCE

ROW_HEIGHT = 44


def stage_means(stages: Sequence[int], gates: Sequence[float]) -> dict[int, float]:
    """The mean of the blocks' mean gates, by stage."""
    found: dict[int, list[float]] = {}
    for stage, gate in zip(stages, gates, strict=True):
        found.setdefault(stage, []).append(float(gate))
    return {stage: float(np.mean(values)) for stage, values in found.items()}


def gate_strength(
    image: dict[int, float], references: dict[str, dict[int, float]], palette: Palette
) -> go.Figure:
    """A bar for each stage (mean gate, 1 = unchanged), and a mark for each reference."""
    names = [f"stage {stage}" for stage in image]
    figure = go.Figure(
        go.Bar(
            x=list(image.values()),
            y=names,
            orientation="h",
            name="this image",
            marker={"color": palette.precisions[REFERENCE]},
            text=[number(value, 2) for value in image.values()],
            textposition="inside",
            insidetextanchor="start",
            hovertemplate="%{y}: %{x:.3f}<extra>this image</extra>",
        )
    )
    looks = (("line-ns", palette.text), ("diamond", palette.published))
    for (name, values), (symbol, color) in zip(references.items(), looks, strict=False):
        figure.add_trace(
            go.Scatter(
                x=[values[stage] for stage in image],
                y=names,
                mode="markers",
                name=name,
                marker={
                    "symbol": symbol,
                    "size": 18 if symbol == "line-ns" else 11,
                    "color": color,
                    "line": {"width": 3 if symbol == "line-ns" else 1, "color": color},
                },
                hovertemplate=f"%{{y}}: %{{x:.3f}}<extra>{name}</extra>",
            )
        )
    figure = layout(figure, palette, height=120 + ROW_HEIGHT * len(names))
    figure.update_xaxes(range=[0, 1.02], title={"text": "mean SE gate (1 = unchanged, 0 = off)"})
    figure.update_yaxes(autorange="reversed", title={"text": ""})
    return figure.update_layout(bargap=0.35)


def gate_sentence(image: dict[int, float], references: dict[str, dict[int, float]]) -> str:
    """Which stage gates most, and where the image differs most from the first reference."""
    most = min(image, key=lambda stage: image[stage])
    text = f"Stage {most} gates most: mean gate {number(image[most], 2)}."
    for name, values in list(references.items())[:1]:
        largest = max(image, key=lambda stage: abs(image[stage] - values[stage]))
        change = signed(image[largest] - values[largest], 3)
        text += f" Largest difference from the {name}: stage {largest}, {change}."
    return text
