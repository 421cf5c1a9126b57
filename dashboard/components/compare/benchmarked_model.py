"""Selection of a model that has a benchmark."""

from __future__ import annotations

import pandas as pd
import streamlit as st


def select_benchmarked_model(rows: pd.DataFrame, key: str) -> str | None:
    """Selects a model with a benchmark; default: the recommended one. None if there is none."""
    if rows["benchmark_id"].isna().all():
        st.info("No benchmark yet. Queue one on the page New run.", icon=":material/speed:")
        return None
    labels = list(dict.fromkeys(rows.loc[rows["benchmark_id"].notna(), "label"]))
    recommended = rows.loc[rows["recommended"].astype(bool), "label"]
    return st.selectbox(
        "Model",
        labels,
        index=labels.index(recommended.iloc[0]) if len(recommended) else 0,
        key=key,
        bind="query-params",
        width=420,
    )
