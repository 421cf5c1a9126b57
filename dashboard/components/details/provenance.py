"""What made a result, all of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.formats import escape_markdown
from engine.results.facts import Provenance, cards_of


def show_provenance(found: Provenance) -> None:
    """Cards side by side: artifact and weights, accuracy, speed, machine."""
    with st.grid(2, min_column_width=340):
        for title, facts in cards_of(found).items():
            with st.container(border=True, height="stretch"):
                st.markdown(f"**{title}**")
                facts_table(facts, alt=f"{title}: what made this result")


def facts_table(facts: dict[str, Any], alt: str) -> None:
    """Names and values; the values are shown as they are, never as markup."""
    rows = {name: escape_markdown(str(value)) for name, value in facts.items() if value is not None}
    st.table(rows, border="horizontal", alt=alt)
