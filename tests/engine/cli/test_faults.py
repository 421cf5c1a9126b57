"""Faults of the machine and the database: one sentence in a terminal, in a module, on a page."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from db.session import connect, sqlite_file, wait_for_locks
from engine.cli import models
from engine.cli.main import main
from engine.common.error_sentences import error_message
from engine.config import REPOSITORY, settings
from engine.store.database import prepare_database

pytestmark = pytest.mark.integration


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """What a command says when it fails, in one line."""

    def ask(*arguments: str) -> str:
        settings.cache_clear()
        capsys.readouterr()
        assert main(arguments or ["jobs", "list"]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert said.startswith("Error: ")
        assert "Traceback" not in said
        return said

    return ask


@pytest.fixture
def setting(home: Path) -> Iterator[pytest.MonkeyPatch]:
    """Variables that are wrong; right again before the database is closed."""
    with pytest.MonkeyPatch.context() as changed:
        yield changed
    settings.cache_clear()


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another process writes, and does not end."""
    file = sqlite_file(url)
    assert file is not None
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def impatient() -> Iterator[None]:
    wait_for_locks(0.1)
    yield
    wait_for_locks(15)


@pytest.mark.parametrize("below", ["", "x/y"])
def test_a_home_that_is_a_file(home: Path, monkeypatch: pytest.MonkeyPatch, says, below) -> None:
    home.write_text("not a folder")
    monkeypatch.setenv("SENET_HOME", str(home / below))
    assert "is a file. Set SENET_HOME" in says()


def test_a_file_that_is_no_database(home: Path, says) -> None:
    home.mkdir()
    (home / "senet.db").write_text("dear diary, " * 100)
    assert "is not a database file" in says()
    assert (home / "senet.db").read_text().startswith("dear diary"), "it is left as it was"


def test_a_database_of_something_else(home: Path, says) -> None:
    home.mkdir()
    with closing(sqlite3.connect(home / "senet.db")) as other:
        other.execute("CREATE TABLE bookmarks (id)")
        other.commit()
    assert "holds tables of another program" in says()


def test_a_newer_schema(url: str, says) -> None:
    with connect(url).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "newer version of the workbench (schema 9999; this version supports up to 0" in says()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nonsense", "DATABASE_URL is not a valid"),
        ("postgresl//me:hush@host/name", "DATABASE_URL is not a valid"),
        ("postgresql://me:hush@host:port/name", "DATABASE_URL is not a valid"),
        ("mysql://me:hush@host/name", "names mysql"),
        ("postgresql+psycopg2://me:hush@host/name", "driver psycopg2, which is not installed"),
        ("sqlite://", "must name a file"),
        ("sqlite:////no/such/folder/senet.db", "cannot be opened"),
    ],
)
def test_addresses(setting: pytest.MonkeyPatch, says, address: str, sentence: str) -> None:
    setting.setenv("DATABASE_URL", address)
    said = says()
    assert sentence in said
    assert "hush" not in said


class Refused(Exception):
    """As the driver of PostgreSQL has it: its errors are no errors of SQLAlchemy's."""

    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("text", "state", "sentence"),
    [
        ("Connection refused", None, "cannot be reached (Connection refused): start the server"),
        ('FATAL: password authentication failed for user "me"', None, "refuses the login"),
        ('FATAL: database "name" does not exist', None, "does not exist on that server"),
        ("FATAL: the database system is starting up", None, "shutting down or starting"),
        ("too many clients", "53300", "accepts no further connections"),
        ("could not extend file", "53100", "the server's disk is full"),
        ("terminating connection", "57P01", "is shutting down"),
        ("dsn of me:hush", "XX000", "could not be read or written (dsn of me:***)"),
    ],
)
def test_a_server(setting: pytest.MonkeyPatch, text: str, state: str | None, sentence: str) -> None:
    setting.setenv("DATABASE_URL", "postgresql+psycopg://me:hush@host/name")
    settings.cache_clear()
    Refused.__name__ = "OperationalError" if state is None else "Refused"
    said = error_message(OperationalError("SELECT", {}, Refused(text, state)))
    assert said is not None
    assert sentence in said
    assert "hush" not in said


def test_a_lock_that_is_held(url: str, tmp_path: Path, says, impatient: None) -> None:
    (tmp_path / "images").mkdir()
    with locked(url):
        assert main(["jobs", "list"]) == 0, "who only reads never waits"
        said = says("dataset", "add", "mine", str(tmp_path / "images"))
    assert "is locked: another process has been writing to it" in said


def test_a_database_that_was_deleted_is_said_and_not_replaced(url: str, home: Path, says) -> None:
    connect(url).dispose()
    for file in home.glob("senet.db*"):
        file.unlink()
    assert "no longer exists; the jobs and results" in says()
    assert not (home / "senet.db").exists()
    assert main(["home", "new-database"]) == 0
    assert main(["jobs", "list"]) == 0
    assert "exists already; nothing was changed" in says("home", "new-database")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk is full ("),
        (errno.EROFS, "cannot be written (Read-only file system): make the home"),
        (errno.EMFILE, "Too many files are open"),
        (errno.EIO, "The disk failed"),
    ],
)
def test_the_system(monkeypatch: pytest.MonkeyPatch, home, says, number, sentence) -> None:
    def fail() -> str:
        raise OSError(number, os.strerror(number), str(home / "logs"))

    monkeypatch.setattr(models, "prepare_database", fail)
    assert sentence in says("models")


def test_wrong_settings_are_named(setting: pytest.MonkeyPatch, says) -> None:
    setting.setenv("SENET_SLOTS", "many")
    assert "SENET_SLOTS: Input should be a valid integer" in says()


def test_a_defect_is_one_line_and_the_rest_is_kept(
    url: str, home: Path, monkeypatch: pytest.MonkeyPatch, says
) -> None:
    monkeypatch.setattr(models, "prepare_database", lambda: {}["nothing"])
    assert "Unexpected KeyError: 'nothing'. This is a bug" in says("models")
    assert "Traceback" in (home / "logs" / "errors.log").read_text()


@pytest.mark.parametrize("module", ["engine.store.database", "engine.jobs.dispatcher"])
def test_modules_that_are_run_say_it_too(home: Path, module: str) -> None:
    home.write_text("not a folder")
    call = [sys.executable, "-m", module]
    done = subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_relative_address_is_one_file_for_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dispatcher runs in another folder than the command that starts it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///mine.db")
    settings.cache_clear()
    assert settings().url == f"sqlite:///{tmp_path}/mine.db"
    prepare_database()
    assert (tmp_path / "mine.db").stat().st_size
