"""The published figures as reference points, and as a stand-in for a count of ours."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import card, safe
from dashboard.formats import is_missing, number, significant
from dashboard.palette import PUBLISHED_SYMBOL, Palette

PUBLISHED_NOTE = (
    "Crosses: as published. Their GMACs are derived from the published FLOPs (~; how is told on "
    "the page System), or counted here once the model was exported. 1 GMAC = 2 GFLOPs."
)
ESTIMATE_NOTE = (
    "A hollow mark with a dot was never exported here: its GMACs are derived from the published "
    "FLOPs (~; how is told on the page System). It takes no part in the frontier."
)
ESTIMATE_BESIDE = (
    "A hollow mark with a dot was never exported: it stands there too, off the frontier."
)


def published_trace(published: pd.DataFrame, palette: Palette) -> go.Scatter:
    """Small gray crosses; `published` as from `with_gmacs`."""
    return go.Scatter(
        x=published["gmacs"],
        y=published["top1"],
        mode="markers",
        name=f"published ({len(published)}, ImageNet-1k)",
        marker={
            "symbol": PUBLISHED_SYMBOL,
            "size": 8,
            "color": palette.published,
            "line": {"width": 1.6, "color": palette.published},
        },
        customdata=[_card(row) for row in published.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _card(row: dict[str, Any]) -> str:
    lines = [
        f"<b>{safe(row['model_id'])}</b> · published",
        f"top-1 {number(row['top1'], 3)} %, top-5 {number(row['top5'], 3)} %",
    ]
    if row["approximate"]:
        lines.append(
            f"~{significant(row['gmacs'])} GMACs, from the published "
            f"{number(row['published_flops_g'], 3)} GFLOPs"
        )
    else:
        lines.append(f"{significant(row['gmacs'])} GMACs, counted here")
    if not is_missing(row["published_params_m"]):
        lines.append(f"{number(row['published_params_m'], 1)} M parameters")
    return card(lines)
