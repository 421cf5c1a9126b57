"""Page changes, and short messages that are shown after them."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

KEY = "notice"


def leave_notice(text: str) -> None:
    """Stores `text` (markdown); the next run of any page shows it as a toast."""
    st.session_state[KEY] = text


def show_notice() -> None:
    """Shows the stored message, once."""
    text = st.session_state.pop(KEY, None)
    if text:
        st.toast(text, icon=":material/check_circle:", duration="long")


def go_to(page: str) -> NoReturn:
    """Opens another page without the query parameters of this one.

    `st.switch_page` keeps parameters that are bound to widgets unless others are given.
    """
    st.switch_page(page, query_params={})
