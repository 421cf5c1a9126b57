"""The field that made an earlier run fail, when New run was opened to mend it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.formats import escape_markdown
from engine.runs.fields import FIELDS

FIELD_PARAMETER = "field"
"""Query parameter of New run: the name of the field to mend, as in engine.runs.fields."""
ERROR = "error_to_fix"
"""Session state: what the failed job said."""


def field_to_fix() -> str | None:
    """The name of the field that the link of the page names; None without one."""
    name = st.query_params.get(FIELD_PARAMETER)
    return name if name in FIELDS else None


def show_what_failed() -> None:
    """Above the form: which field to change, and what the failed job said."""
    name = field_to_fix()
    if name is None:
        return
    said = st.session_state.get(ERROR)
    reason = f": {escape_markdown(said)}" if said else "."
    st.warning(
        f"The earlier run failed at **{FIELDS[name].label}**{reason} Change it, marked below, and "
        "queue the run again.",
        icon=":material/build:",
    )


def mark_if_to_fix(name: str, place: Any = st) -> None:
    """Marks a field, drawn just before in `place`, where it is the one to change."""
    if name == field_to_fix():
        place.markdown(":orange-badge[:material/arrow_upward: The earlier run failed here.]")
