"""The provenance of a result."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.formats import escape_markdown
from engine.results.facts import Provenance, provenance_cards


def show_provenance(provenance: Provenance) -> None:
    """Cards side by side: artifact and weights, accuracy, speed, machine."""
    with st.grid(2, min_column_width=340):
        for title, facts in provenance_cards(provenance).items():
            with st.container(border=True, height="stretch"):
                st.markdown(f"**{title}**")
                facts_table(facts, alt=f"{title}: provenance of this result")


def facts_table(facts: dict[str, Any], alt: str) -> None:
    """A table of names and values; markup in values is escaped."""
    rows = {name: escape_markdown(str(value)) for name, value in facts.items() if value is not None}
    st.table(rows, border="horizontal", alt=alt)
