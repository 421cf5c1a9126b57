"""To another page, and a short message that survives the change."""

from __future__ import annotations

from typing import NoReturn

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


def go_to(page: str) -> NoReturn:
    """Leaves for another page, without the choices of this one in the address.

    A plain switch refuses to drop parameters that are bound to widgets; empty ones replace them.
    """
    st.switch_page(page, query_params={})
