"""The content of weights files, cached per file."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from engine.weights.identify import Identified, identify


def identify_weights_file(path: str, key: str | None, model_id: str) -> Identified | None:
    """The content of a weights file expected to hold `model_id`; None if it does not exist."""
    file = Path(path).expanduser()
    try:
        state = file.stat() if file.is_file() else None
    except OSError:
        return None
    if state is None:
        return None
    return _identify(str(file), key, model_id, state.st_mtime_ns, state.st_size)


@st.cache_data(show_spinner="Reading the weights file.", max_entries=32)
def _identify(path: str, key: str | None, model_id: str, mtime_ns: int, size: int) -> Identified:
    return identify(Path(path), key, [model_id] if model_id.startswith("timm/") else [])
