"""The published figures as reference points, and as a stand-in for a count of ours."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.common import card, safe
from dashboard.formats import is_missing, number, significant
from dashboard.palette import PUBLISHED_SYMBOL, Palette
from engine.catalog.flops_conventions import published_gmacs
from engine.catalog.models import catalog

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


def with_gmacs(published: pd.DataFrame) -> pd.DataFrame:
    """Adds `gmacs` and `approximate`: our own count where there is one, else the published FLOPs.

    As engine.catalog.flops_conventions.published_gmacs turns them into GMACs.
    """
    ours = published["compute_gmacs"].astype(float)
    return published.assign(gmacs=ours.fillna(_published(published)), approximate=ours.isna())


def with_estimates(points: pd.DataFrame) -> pd.DataFrame:
    """Fills `compute_gmacs` from the published FLOPs where nothing was counted; adds `estimated`.

    A model without either stays without.
    """
    ours = points["compute_gmacs"].astype(float)
    filled = ours.fillna(_published(points))
    return points.assign(compute_gmacs=filled, estimated=ours.isna() & filled.notna())


def _published(rows: pd.DataFrame) -> pd.Series:
    known = catalog()
    models = [known.get(model_id) for model_id in rows["model_id"]]
    figures = [published_gmacs(model) if model else None for model in models]
    return pd.Series(figures, index=rows.index, dtype=float)


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
