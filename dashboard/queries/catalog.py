"""The catalog with what is on this machine, cached."""

from __future__ import annotations

from collections import defaultdict

import pandas as pd
import streamlit as st
from sqlalchemy import select

from dashboard.queries.results import published
from dashboard.queries.state import Version, url, version
from db.enums import ArtifactKind, WeightsKind
from db.models import Artifact
from db.session import reading
from engine.catalog.models import SOURCE_LABELS, catalog
from engine.results.published import with_gmacs
from engine.specs.precisions import PRECISIONS
from engine.weights.lookup import remote_of
from engine.weights.registry import find_registered


def catalog_table() -> pd.DataFrame:
    """One row a model, by its id: model, source, params_m, gmacs, top1 (%), here.

    All sessions share it: do not modify it.
    """
    return _catalog_table(url(), version())


@st.cache_resource(show_spinner=False, max_entries=2)
def _catalog_table(url: str, version: Version) -> pd.DataFrame:
    frame = with_gmacs(published()).set_index("model_id").reindex(list(catalog()))
    here = _made_here(url)
    return pd.DataFrame(
        {
            "model": [catalog()[name].name for name in frame.index],
            "source": [SOURCE_LABELS[catalog()[name].source] for name in frame.index],
            "params_m": frame["params_m"].astype(float).fillna(frame["published_params_m"]),
            "gmacs": frame["gmacs"],
            "top1": frame["top1"],
            "here": [", ".join(here.get(name, ())) for name in frame.index],
        },
        index=frame.index,
    )


def _made_here(url: str) -> dict[str, list[str]]:
    """By model id: weights, export, and the precisions of its builds; not with random weights."""
    statement = select(Artifact.model_id, Artifact.kind, Artifact.precision).where(
        Artifact.weights_kind != WeightsKind.RANDOM
    )
    made: dict[str, set[str]] = defaultdict(set)
    with reading(url) as session:
        for model_id, kind, precision in session.execute(statement.distinct()):
            made[model_id].add(str(precision) if kind == ArtifactKind.BUILD else "export")
    for name, model in catalog().items():
        if find_registered(model) is not None or remote_of(model).target.is_file():
            made[name].add("weights")
    order = ["weights", "export", *map(str, PRECISIONS)]
    return {name: sorted(parts, key=order.index) for name, parts in made.items()}
