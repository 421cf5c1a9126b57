"""Uploaded images that survive a page change: they stay until they are removed or replaced."""

from __future__ import annotations

import streamlit as st

from dashboard.components.classify.predictions import ImageFile
from dashboard.components.classify.uploads import Rejected, split_by_count
from dashboard.formats import plural

KEPT = "kept_images"
Kept = tuple[list[ImageFile], list[Rejected]]


def store(key: str) -> None:
    """Callback of the uploader `key`: keeps its files, or forgets them where all were removed."""
    files = st.session_state[key]
    accepted, rejected = split_by_count([file.name for file in files])
    st.session_state[KEPT] = (
        [ImageFile(files[i].name, files[i].getvalue()) for i in accepted],
        rejected,
    )


def kept() -> Kept:
    """The images uploaded last, and the refused files."""
    found: Kept = st.session_state.get(KEPT, ([], []))
    return found


def show_kept(is_empty: bool) -> None:
    """Says that images of an earlier visit are shown, where the uploader itself is empty."""
    images, _ = kept()
    if not images or not is_empty:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{plural(len(images), 'image')} kept from before.", width="stretch")
        st.button("Remove images", key="forget_images", icon=":material/close:", on_click=_forget)


def _forget() -> None:
    st.session_state.pop(KEPT, None)
