"""The table below the precision charts."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.components.results.table import table_column
from engine.results.columns import COLUMNS


def pairs_table(pairs: pd.DataFrame, first: str, second: str) -> None:
    """One row per model; a dash for a missing figure."""
    number = st.column_config.NumberColumn
    columns = {
        "label": st.column_config.TextColumn("model", pinned=True),
        "change": number(f"top-1 {second} − {first} (pp)", format="%+.2f"),
        "change_low": number("95 % low", format="%+.2f"),
        "change_high": number("95 % high", format="%+.2f"),
        "only_first": number(f"correct only in {first}", format="localized"),
        "only_second": number(f"correct only in {second}", format="localized"),
        "p_value": number("McNemar p", format="%.2g"),
        "images": table_column(COLUMNS["images"]),
        "speed_up": number("speed-up", format="%.2f ×"),
        "speed_up_low": number("speed-up low", format="%.2f ×"),
        "speed_up_high": number("speed-up high", format="%.2f ×"),
        "speed_up_p": number("signed-rank p", format="%.2g"),
        "speed_paired": st.column_config.CheckboxColumn(
            "one session", help="Whether both were measured in one session, round by round."
        ),
        "size_ratio": number("size ratio", format="%.2f ×"),
        "batch": table_column(COLUMNS["batch"]),
        "threads": table_column(COLUMNS["threads"]),
    }
    st.dataframe(
        pairs[list(columns)],
        column_config=columns,
        hide_index=True,
        placeholder="–",
        alt=f"{second} vs {first}: accuracy change, speed-up and size ratio by model",
    )
