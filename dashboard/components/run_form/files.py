"""Files of New run: paths on this machine, or uploads, which become paths."""

from __future__ import annotations

import streamlit as st

from dashboard.components.classify.uploads import store_upload
from dashboard.components.common.guard import guard_callback
from dashboard.components.common.typed_paths import is_allowed
from dashboard.formats import message
from engine.common.files import expand_user

MORE_FILES = "onnx_more_paths"
MAX_FOLDER_FILES = 100


def choose_file(label: str, key: str, types: tuple[str, ...]) -> str | None:
    """A path on this machine; an upload is stored, and its path is returned."""
    path = _path_input(label, key, types)
    st.file_uploader(
        "or upload a file",
        type=list(types),
        key=f"{key}_upload",
        on_change=_store_uploads,
        args=(key,),
    )
    return path


def choose_files(label: str, key: str, types: tuple[str, ...]) -> list[str]:
    """Paths on this machine, in order, each once; uploads are stored, and added to them.

    A folder stands for its files of these types.
    """
    first = _path_input(label, key, types)
    st.file_uploader(
        "or upload files",
        type=list(types),
        key=f"{key}_upload",
        on_change=_store_uploads,
        args=(key,),
        accept_multiple_files=True,
    )
    more = st.session_state.get(MORE_FILES) or ""
    with st.expander("Several files", expanded=bool(more.strip())):
        more = st.text_area(
            "Further paths, one per line",
            key=MORE_FILES,
            persist_state="session",
            placeholder=f"/models/second.{types[0]}\n/models/folder",
            help="A folder stands for all its files of this type.",
            height=90,
        )
    given = [first, *(line.strip() for line in (more or "").splitlines())]
    found = [path for text in given if text for path in _expand(text, types)]
    return list(dict.fromkeys(found))


def _expand(text: str, types: tuple[str, ...]) -> list[str]:
    """The path itself, or the files of a folder by name."""
    folder = expand_user(text)
    try:
        if not is_allowed(text) or not folder.is_dir():
            return [text]
        files = [path for path in folder.iterdir() if path.suffix.lstrip(".") in types]
    except (OSError, ValueError):
        return [text]
    return [str(path) for path in sorted(files)[:MAX_FOLDER_FILES]] or [text]


def _path_input(label: str, key: str, types: tuple[str, ...]) -> str | None:
    path = st.text_input(
        f"{label}: path on this machine",
        key=f"{key}_path",
        placeholder=f"/models/file.{types[0]}",
        persist_state="session",
    )
    text = (path or "").strip()
    if text and is_allowed(text) and not _exists(text):
        mark_field(f"There is no such file: {text}")
    return text or None


def mark_field(problem: str) -> None:
    """Says what is wrong with the field above."""
    st.caption(f":red[:material/error: {message(problem)}]")


def _exists(text: str) -> bool:
    try:
        return expand_user(text).exists()
    except (OSError, ValueError):  # a name too long, a NUL
        return False


def _store_uploads(key: str) -> None:
    """Callback: stores uploads and puts their paths into the widgets of the paths."""
    uploaded = st.session_state.get(f"{key}_upload")
    files = uploaded if isinstance(uploaded, list) else [uploaded]
    with guard_callback():
        paths = [str(store_upload(file.name, file.getbuffer())) for file in files if file]
        if not isinstance(uploaded, list):
            st.session_state[f"{key}_path"] = (
                paths[0] if paths else st.session_state.get(f"{key}_path")
            )
            return
        held = [st.session_state.get(f"{key}_path") or "", st.session_state.get(MORE_FILES) or ""]
        known = [line.strip() for text in held for line in text.splitlines() if line.strip()]
        first, *others = list(dict.fromkeys([*known, *paths])) or [""]
        st.session_state[f"{key}_path"] = first
        st.session_state[MORE_FILES] = "\n".join(others)
