"""Links of earlier versions: values of query parameters that have another name now."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st


def translate_query_params(renamed: Mapping[str, Mapping[str, str]]) -> None:
    """Sets the widgets that an old link names; call it before they are drawn.

    `renamed`: for each query parameter (and widget key), the new value of each old one.
    """
    for key, values in renamed.items():
        old = st.query_params.get(key)
        if old is not None and old in values and key not in st.session_state:
            st.session_state[key] = values[old]
