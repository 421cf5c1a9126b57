"""Published figures as reference points, and the notes on estimated GMACs."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import card, safe
from dashboard.formats import is_missing, number, significant
from dashboard.palette import PUBLISHED_SYMBOL, Palette

PUBLISHED_NOTE = (
    "Crosses: published figures. Their GMACs are estimated from the published FLOPs (~; method: "
    "page System), or counted if the model was exported here. 1 GMAC = 2 GFLOPs."
)
ESTIMATE_NOTE = (
    "Hollow marks with a dot: the model was not exported here, so its GMACs are estimated from the "
    "published FLOPs (~; method: page System). They are not part of the Pareto front."
)
ESTIMATE_NOTE_SHORT = "Hollow marks with a dot: GMACs estimated too, not part of the Pareto front."


def published_trace(published: pd.DataFrame, x: str, palette: Palette) -> go.Scatter:
    """Published figures as small gray crosses over column `x`; rows as from `with_gmacs`."""
    return go.Scatter(
        x=published[x],
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
            f"~{significant(row['gmacs'])} GMACs, estimated from "
            f"{number(row['published_flops_g'], 3)} published GFLOPs"
        )
    else:
        lines.append(f"{significant(row['gmacs'])} GMACs, counted here")
    if not is_missing(row["published_params_m"]):
        lines.append(f"{number(row['published_params_m'], 1)} M parameters")
    return card(lines)
