"""No dispatcher starts behind a page under test, and no cache outlives its database."""

from __future__ import annotations

import pytest
import streamlit as st

from engine.jobs import dispatcher


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs stay queued; what an earlier test cached is forgotten."""
    monkeypatch.setattr(dispatcher, "ensure_dispatcher", lambda: False)
    st.cache_data.clear()
    st.cache_resource.clear()
