"""What files of weights say of themselves, looked into once a file."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from engine.weights.identify import Identified, identify


def identify_weights_file(path: str, key: str | None, model_id: str) -> Identified | None:
    """What a file holds, `model_id` being what it is expected to; None where there is no file."""
    file = Path(path).expanduser()
    try:
        state = file.stat() if file.is_file() else None
    except OSError:
        return None
    if state is None:
        return None
    return _identified(str(file), key, model_id, state.st_mtime_ns, state.st_size)


@st.cache_data(show_spinner="Looking into the file of weights.", max_entries=32)
def _identified(path: str, key: str | None, model_id: str, mtime_ns: int, size: int) -> Identified:
    return identify(Path(path), key, [model_id] if model_id.startswith("timm/") else [])
