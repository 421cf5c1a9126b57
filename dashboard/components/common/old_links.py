"""Links of earlier versions: values of query parameters that have another name now."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st


def translate_query_params(renamed: Mapping[str, Mapping[str, str]]) -> None:
    """Replaces old values in the URL; call it before the widgets that are bound to them.

    `renamed`: for each query parameter, the new value of each old one.
    """
    for key, values in renamed.items():
        old = st.query_params.get(key)
        if old is not None and old in values:
            st.query_params[key] = values[old]
