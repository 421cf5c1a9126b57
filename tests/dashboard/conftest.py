"""No dispatcher starts behind a page under test, and no cache outlives its database."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import streamlit as st

from engine.jobs import dispatcher


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs stay queued; what an earlier test cached is forgotten."""
    monkeypatch.setattr(dispatcher, "ensure_dispatcher", lambda: False)
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def own_main_module() -> Iterator[None]:
    """AppTest leaves the page as `__main__`, and processes that tests start would run it again."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
