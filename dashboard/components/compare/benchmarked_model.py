"""The model of a detail view: one choice that the views share."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from dashboard.components.common.links import note_unknown

KEY = "detail_model"
OLD_KEYS = ("batch_model", "sweep_model", "lost_model")
CHOSEN = "detail_model_chosen"
"""In the session state: the last choice, kept while a view without it is shown."""


def select_benchmarked_model(rows: pd.DataFrame) -> str | None:
    """Selects a model with a benchmark; None if there is none."""
    measured = rows[rows["benchmark_id"].notna()]
    if measured.empty:
        st.info("No benchmark yet. Queue one on the page New run.", icon=":material/speed:")
        return None
    recommended = measured.loc[measured["recommended"].astype(bool), "label"]
    return select_model(dict.fromkeys(measured["label"]), next(iter(recommended), None))


def select_model(labels: Iterable[str], default: str | None = None) -> str:
    """Selects one of `labels`, by default the last choice, else `default`, else the first."""
    names, chosen = list(labels), st.session_state.get(CHOSEN) or _chosen_in_old_link()
    first = next((name for name in (chosen, default) if name in names), names[0])
    note_unknown(KEY, names, "the model")
    model = st.selectbox(
        "Model", names, index=names.index(first), key=KEY, bind="query-params", width=420
    )
    st.session_state[CHOSEN] = model
    return str(model) if model in names else first


def _chosen_in_old_link() -> str | None:
    """The choice of an earlier version, where each view had its own."""
    return next((v for key in OLD_KEYS if (v := st.query_params.get(key))), None)
