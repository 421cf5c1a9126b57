"""The published figures as reference points."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import safe
from dashboard.formats import is_missing, number, significant
from dashboard.palette import PUBLISHED_SYMBOL, Palette

# The timm column was published as twice a THOP total divided by 0.9; it counts BatchNorm too.
_TIMM_SCALE = 0.9 / 2
_MACS_OF_FLOPS = 1 / 2


def with_gmacs(published: pd.DataFrame) -> pd.DataFrame:
    """Adds `gmacs` and `approximate`: our own count where there is one, else the published FLOPs.

    The sixteen timm figures are THOP totals x 2 / 0.9 (within 1.6 % of the MACs, BatchNorm
    included); those of mmcls and PaddleClas are 2 x MACs.
    """
    ours = published["compute_gmacs"].astype(float)
    scale = published["source"].map({"timm": _TIMM_SCALE}).fillna(_MACS_OF_FLOPS)
    derived = published["published_flops_g"] * scale
    return published.assign(gmacs=ours.fillna(derived), approximate=ours.isna())


def published_trace(published: pd.DataFrame, palette: Palette) -> go.Scatter:
    """Small grey crosses; `published` as from `with_gmacs`."""
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
    return "<br>".join(lines)
