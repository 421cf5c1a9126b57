"""Fixtures for all tests: a home of their own, a fresh database, the folder of real data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.session import connect
from engine.config import settings
from engine.store.database import prepare_database


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """SENET_HOME and the host lock in a temporary folder; settings are read anew."""
    folder = tmp_path / "home"
    monkeypatch.setenv("SENET_HOME", str(folder))
    monkeypatch.setenv("SENET_HOST_LOCK", str(tmp_path / "host.lock"))
    monkeypatch.setenv("SENET_OFFLINE", "1")
    monkeypatch.setenv("SENET_IDLE_S", "5")
    monkeypatch.setenv("SENET_PEAK", "0")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings.cache_clear()
    yield folder
    connect(settings().url).dispose()
    settings.cache_clear()
    connect.cache_clear()


@pytest.fixture
def url(home: Path) -> str:
    """A migrated database with the catalog in it."""
    return prepare_database()


@pytest.fixture
def real_data() -> Path:
    """The folder of real photographs and weights; the test is skipped where there is none."""
    folder = os.environ.get("SENET_REAL_DATA")
    if not folder:
        pytest.skip("SENET_REAL_DATA is not set")
    return Path(folder)


@pytest.fixture
def photographs(url: str, real_data: Path) -> str:
    """Name of the registered dataset of the 1,000 photographs."""
    from engine.datasets.registration import check_folder, register

    register("in1k", check_folder(real_data / "imagenet_1000", None, lambda done, total: None), url)
    return "in1k"
