"""The numbers under the precision charts."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.components.results.table import table_column
from engine.results.columns import COLUMNS


def pairs_table(pairs: pd.DataFrame, first: str, second: str) -> None:
    """One row a model; dashes where a side was not measured."""
    number = st.column_config.NumberColumn
    columns = {
        "label": st.column_config.TextColumn("model", pinned=True),
        "drop": number(f"top-1 {second} − {first} (points)", format="%+.2f"),
        "drop_low": number("95 % from", format="%+.2f"),
        "drop_high": number("to", format="%+.2f"),
        "lost": number(f"right only in {first}", format="localized"),
        "gained": number(f"right only in {second}", format="localized"),
        "p_value": number("McNemar p", format="%.2g"),
        "images": table_column(COLUMNS["images"]),
        "speed_up": number("images/s ratio", format="%.2f ×"),
        "size_ratio": number("size ratio", format="%.2f ×"),
        "batch": table_column(COLUMNS["batch"]),
        "threads": table_column(COLUMNS["threads"]),
    }
    st.dataframe(
        pairs[list(columns)],
        column_config=columns,
        hide_index=True,
        placeholder="–",
        alt=f"{second} against {first}: change of top-1, throughput ratio and size ratio by model",
    )
