"""Images per class of a dataset, the largest class first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.common import layout, safe
from dashboard.palette import Palette
from engine.specs.precisions import REFERENCE

HEIGHT = 190
MAX_NAMED = 30
"""With more classes their names are only in the hover text."""


def count_classes(labels: np.ndarray, classes: int) -> np.ndarray:
    """The number of images of each class; images without a label (-1) are left out."""
    return np.bincount(labels[labels >= 0], minlength=classes)


def counts_sentence(counts: np.ndarray) -> str:
    """`Classes with images: 16, 150 each.` or `..., 3 to 20 each.`; counts the empty classes."""
    present = counts[counts > 0]
    if not present.size:
        return "No image has a label."
    low, high = int(present.min()), int(present.max())
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    empty = int((counts == 0).sum())
    without = f" Classes without images: {empty:,}." if empty else ""
    return f"Classes with images: {len(present):,}, {each} each.{without}"


def class_counts(counts: np.ndarray, names: Sequence[str], palette: Palette) -> go.Figure:
    """One bar per class with images."""
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    named = [safe(names[index]) if index < len(names) else f"class {index}" for index in order]
    figure = go.Figure(
        go.Bar(
            x=list(range(len(order))),
            y=counts[order],
            text=named,
            textposition="none",
            marker={"color": palette.precisions[REFERENCE], "line": {"width": 0}},
            hovertemplate="%{text}: %{y:,} images<extra></extra>",
        )
    )
    figure = layout(figure, palette, height=HEIGHT)
    few = len(order) <= MAX_NAMED
    figure.update_xaxes(
        tickvals=list(range(len(order))) if few else [],
        ticktext=named if few else [],
        title={"text": "" if few else "classes, largest first"},
    )
    figure.update_yaxes(title={"text": "images"}, rangemode="tozero")
    return figure.update_layout(bargap=0.15 if few else 0.0, showlegend=False)
