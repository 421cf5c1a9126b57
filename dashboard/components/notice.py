"""A short message that survives the change to another page."""

from __future__ import annotations

import streamlit as st

KEY = "notice"


def leave_notice(text: str) -> None:
    """Shows `text` (markdown) as a toast on the next run, whichever page that is."""
    st.session_state[KEY] = text


def show_notice() -> None:
    """Shows what was left, once."""
    text = st.session_state.pop(KEY, None)
    if text:
        st.toast(text, icon=":material/check_circle:", duration="long")
