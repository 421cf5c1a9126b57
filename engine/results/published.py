"""What the catalog's authors published, beside what was counted here."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import select

from db.models import Model
from engine.catalog.flops_conventions import convention_of, published_gmacs
from engine.catalog.models import catalog, find_model
from engine.results.reading import read_frame


def published_frame(url: str) -> pd.DataFrame:
    """The catalog's published figures; `compute_gmacs` is ours, missing until an export.

    Columns: model_id, source, name, top1, top5 (%), published_flops_g, published_params_m,
    compute_gmacs, params_m, convention (how the published FLOPs and parameters were counted).
    """
    statement = select(
        Model.id.label("model_id"),
        Model.source,
        Model.name,
        Model.published_top1.label("top1"),
        Model.published_top5.label("top5"),
        Model.published_flops_g,
        Model.published_params_m,
        Model.compute_gmacs,
        Model.params_m,
    ).where(Model.in_catalogue)
    frame = read_frame(url, statement)
    conventions = [convention_of(find_model(model_id)) for model_id in frame["model_id"]]
    frame["convention"] = [c.label if c else None for c in conventions]
    return frame


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
