"""Published figures of the catalog's models, with the GMACs counted on this machine."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import select

from db.models import Model
from engine.catalog.flops_conventions import convention_of, published_gmacs
from engine.catalog.models import catalog, find_model
from engine.results.reading import read_frame


def published_frame(url: str) -> pd.DataFrame:
    """The catalog's published figures; `compute_gmacs` is counted from the export, if there is one.

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
    """Adds `gmacs` (counted, else estimated from the published FLOPs) and `approximate`.

    The estimate: engine.catalog.flops_conventions.published_gmacs.
    """
    counted = published["compute_gmacs"].astype(float)
    return published.assign(gmacs=counted.fillna(_published(published)), approximate=counted.isna())


def with_estimates(points: pd.DataFrame) -> pd.DataFrame:
    """Fills missing `compute_gmacs` with estimates from the published FLOPs; adds `estimated`.

    Stays missing for a model without published FLOPs.
    """
    counted = points["compute_gmacs"].astype(float)
    filled = counted.fillna(_published(points))
    return points.assign(compute_gmacs=filled, estimated=counted.isna() & filled.notna())


def _published(rows: pd.DataFrame) -> pd.Series:
    models_by_id = catalog()
    models = [models_by_id.get(model_id) for model_id in rows["model_id"]]
    figures = [published_gmacs(model) if model else None for model in models]
    return pd.Series(figures, index=rows.index, dtype=float)
