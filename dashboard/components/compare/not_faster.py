"""Builds that are not faster than fp32 of their model, named below the charts of Compare."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.formats import escape_markdown, plural

MAX_NAMED = 6


def not_faster_note(rows: pd.DataFrame) -> None:
    """One line for each such build with what is faster; nothing where all are faster."""
    slow = rows[rows["not_faster"].notna()].drop_duplicates("benchmark_id")
    if slow.empty:
        return
    lines = [f"{row['key']}: {row['not_faster']}." for row in slow.to_dict("records")]
    if len(lines) > MAX_NAMED:
        lines[MAX_NAMED:] = [f"{plural(len(lines) - MAX_NAMED, 'more build')}: see Results."]
    st.warning("  \n".join(map(escape_markdown, lines)), icon=":material/speed:")
