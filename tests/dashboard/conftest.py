"""No dispatcher starts behind a page under test, and no cache outlives its database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

from engine.jobs import dispatcher


@pytest.fixture(scope="session", autouse=True)
def components_found_once() -> Iterator[None]:
    """Each AppTest scans all installed packages for components, 0.3 s: one scan is enough."""
    with pytest.MonkeyPatch.context() as patch:
        found_once = cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", found_once)
        yield


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
