"""Files dropped on the page Import: they are stored, so that they survive a page change."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import streamlit as st

from dashboard.components.classify.uploads import store_upload
from dashboard.components.common.guard import guard_callback


def dropped_file(label: str, key: str, types: Collection[str], what: str, help: str) -> Path | None:
    """An uploader; the path of the stored file, also where it was dropped on an earlier visit."""
    st.file_uploader(
        label,
        type=list(types),
        key=f"{key}_upload",
        on_change=_store,
        args=(key, tuple(types), what),
        help=help,
    )
    path: Path | None = st.session_state.get(f"{key}_path")
    if path is None or not path.is_file():
        return None
    if st.session_state.get(f"{key}_upload") is None:
        st.caption(f"Kept from before: {path.name}")
    return path


def forget_file(key: str) -> None:
    """Forgets the file, after it was imported."""
    st.session_state.pop(f"{key}_path", None)


def _store(key: str, types: tuple[str, ...], what: str) -> None:
    file = st.session_state[f"{key}_upload"]
    forget_file(key)
    if file is not None:
        with guard_callback():
            st.session_state[f"{key}_path"] = store_upload(file.name, file.getbuffer(), types, what)
