"""Page Help: the documents of the workbench, so that help needs no network."""

from __future__ import annotations

import streamlit as st

from dashboard.components.common.documents import documents, sections
from dashboard.components.common.purpose import page_title

page_title("Help")
found = documents()
if not found:
    st.info("The documents are in the folder docs/ of the source; this installation has none.")
    st.stop()
asked = str(st.query_params.get("document", "dashboard"))
names = list(found)
left, right = st.columns([1, 3], gap="large")
name = left.radio(
    "Document",
    names,
    index=names.index(asked) if asked in found else 0,
    format_func=lambda name: name.replace("-", " ").replace("/", ": ").capitalize(),
    label_visibility="collapsed",
)
with right:
    parts = sections(found[str(name)])
    section = str(st.query_params.get("section", "")) if name == asked else ""
    if section in parts:
        st.markdown(parts[section])
        with st.expander("The whole document"):
            st.markdown("\n\n".join(parts.values()))
    else:
        st.markdown("\n\n".join(parts.values()))
