"""Links of earlier versions: values of query parameters that have another name now."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import streamlit as st


def translate_query_params(renamed: Mapping[str, Mapping[str, str]]) -> None:
    """Sets the widgets that an old link names; call it before they are drawn.

    `renamed`: for each query parameter (and widget key), the new value of each old one.
    """
    for key, values in renamed.items():
        old = st.query_params.get(key)
        if old is not None and old in values and key not in st.session_state:
            st.session_state[key] = values[old]


def translate_group_label(key: str, labels: Collection[str]) -> None:
    """Selects the group of results that an old link names, if its label now is in `labels`."""
    label = re.sub(r"\b(\d+) requests in flight", r"concurrency \1", st.query_params.get(key, ""))
    if label in labels and label != st.query_params[key] and key not in st.session_state:
        st.session_state[key] = label
