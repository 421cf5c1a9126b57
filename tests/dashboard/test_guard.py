"""Faults of the machine and the database on the pages: one sentence, and nothing is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from db.enums import JobStatus
from db.session import connect, wait_for_locks
from engine.config import settings
from engine.jobs import dispatcher
from tests.support import rows
from tests.support.pages import at


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    wait_for_locks(0.1)
    yield
    wait_for_locks(15)


def opened(page: str) -> AppTest:
    return at(page).run()


def said(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(str(one.value) for one in (*app.error, *app.toast)).replace("\\", "")


def test_a_database_that_is_deleted_while_jobs_wait(url: str, home: Path) -> None:
    rows.add_job(url, JobStatus.QUEUED)
    app = opened("jobs")
    for file in home.glob("senet.db*"):
        file.unlink()
    assert "no longer exists" in said(app.run())
    assert not (home / "senet.db").exists(), "it is not replaced"


def test_a_lock_that_is_held(url: str, home: Path) -> None:
    job = rows.add_job(url, JobStatus.QUEUED)
    app = opened("jobs")
    with closing(sqlite3.connect(home / "senet.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        app.button(key=f"cancel_{job}").click().run()
        assert "is locked" in said(app)
    app.button(key=f"cancel_{job}").click().run()
    assert "cancelled" in said(app)


def test_a_file_that_is_no_database(home: Path) -> None:
    home.mkdir()
    (home / "senet.db").write_text("dear diary, " * 100)
    assert "not a database" in said(opened("results"))


def test_a_home_that_cannot_be_written(
    url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> bool:
        raise OSError(30, "Read-only file system", str(home / "dispatcher.lock"))

    monkeypatch.setattr(dispatcher, "ensure_dispatcher", refuse)
    assert f"make the home {home} writable" in said(opened("compare"))


def test_another_homes_database(
    url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("SENET_HOME", str(tmp_path / "second"))
        elsewhere.setenv("DATABASE_URL", url)
        settings.cache_clear()
        assert f"belongs to the home {home}" in said(opened("jobs"))
    connect(url).dispose()
    settings.cache_clear()
