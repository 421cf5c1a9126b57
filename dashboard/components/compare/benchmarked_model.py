"""Which model's speeds are looked at, of those that have any."""

from __future__ import annotations

import pandas as pd
import streamlit as st


def benchmarked_model(rows: pd.DataFrame, key: str) -> str | None:
    """Chosen among the models with a benchmark, at first the one to ship; None without any."""
    if rows["benchmark_id"].isna().all():
        st.info("Nothing was benchmarked yet.", icon=":material/speed:")
        return None
    labels = list(dict.fromkeys(rows.loc[rows["benchmark_id"].notna(), "label"]))
    shipped = rows.loc[rows["ship"].astype(bool), "label"]
    return st.selectbox(
        "Model",
        labels,
        index=labels.index(shipped.iloc[0]) if len(shipped) else 0,
        key=key,
        bind="query-params",
        width=420,
    )
