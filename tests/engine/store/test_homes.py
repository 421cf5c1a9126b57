"""A home keeps others out, is known by its own file, and shares its database with no other one."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from db.enums import JobStatus
from db.session import connect
from engine.cli.main import main
from engine.common.database_url import database_label
from engine.common.program import program
from engine.config import settings
from engine.errors import DatabaseUnusable, HomeUnusable
from engine.hosts import home as homes
from engine.hosts.ownership import owner_of, require_ownership
from engine.jobs.locks import SHARED_MODE, try_lock
from engine.store.database import prepare_database, take_over
from tests.support.job_harness import queue, row

pytestmark = pytest.mark.integration


@pytest.fixture
def live_in(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Changes the home, and the database where it is not the home's own."""

    def move(folder: Path, url: str | None = None) -> None:
        connect(settings().url).dispose()
        monkeypatch.setenv("SENET_HOME", str(folder))
        monkeypatch.delenv("DATABASE_URL", raising=False)
        if url is not None:
            monkeypatch.setenv("DATABASE_URL", url)
        settings.cache_clear()

    return move


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_is_private_and_so_are_its_locks(home: Path) -> None:
    prepare_database()
    os.close(try_lock(home / "dispatcher.lock") or 0)
    assert mode(home) == 0o700
    assert {mode(path) for path in home.glob("*.lock")} == {0o600}
    assert mode(home / homes.FILE) == 0o600


def test_an_existing_home_becomes_private(home: Path) -> None:
    home.mkdir(mode=0o755)
    (home / "dispatcher.lock").touch(mode=0o666)
    prepare_database()
    assert mode(home) == 0o700
    assert mode(home / "dispatcher.lock") == 0o600


def test_a_folder_of_all_users_is_left_as_it_is(home: Path) -> None:
    home.mkdir()
    home.chmod(0o1777)
    prepare_database()
    assert mode(home) == 0o1777


def test_the_lock_of_the_machine_is_readable_and_never_a_link(tmp_path: Path) -> None:
    path = tmp_path / "host.lock"
    os.close(try_lock(path, mode=SHARED_MODE) or 0)
    assert mode(path) == 0o644
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="link"):
        try_lock(tmp_path / "link", mode=SHARED_MODE)


def test_a_second_home_on_one_database_is_refused(
    home: Path, tmp_path: Path, live_in, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    live_in(home, shared)
    prepare_database()
    live_in(tmp_path / "second", shared)
    for _ in range(2):
        assert main(["jobs", "list"]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert f"belongs to the home {home}" in said
        assert f"`{program()} home take-over`" in said
    live_in(home, shared)
    assert main(["jobs", "list"]) == 0


def test_a_database_in_another_home_is_that_homes(url: str, tmp_path: Path, live_in) -> None:
    live_in(tmp_path / "second", url)
    with pytest.raises(DatabaseUnusable, match="belongs to the home"):
        prepare_database()


def test_a_home_that_moves_or_is_copied_with_its_database_goes_on(
    url: str, home: Path, tmp_path: Path, live_in, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = homes.load()
    live_in(home)
    shutil.copytree(home, tmp_path / "copy")
    live_in(tmp_path / "copy")
    prepare_database()
    live_in(home)
    home.rename(tmp_path / "moved")
    live_in(tmp_path / "moved")
    monkeypatch.setattr("socket.gethostname", lambda: "another container")
    owner = owner_of(prepare_database())
    assert homes.load() == who
    assert owner is not None
    assert (owner.folder, owner.host) == (str(tmp_path / "moved"), "another container")


def test_a_copied_home_on_the_same_database_is_refused(home: Path, tmp_path: Path, live_in) -> None:
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    live_in(home, shared)
    prepare_database()
    shutil.copytree(home, tmp_path / "copy")
    live_in(tmp_path / "copy", shared)
    with pytest.raises(DatabaseUnusable, match="of which this home is a copy"):
        prepare_database()
    take_over()
    assert require_ownership(shared) != homes.load(home).identity  # type: ignore[union-attr]
    live_in(home, shared)
    with pytest.raises(DatabaseUnusable, match="belongs to the home"):
        prepare_database()


def test_a_database_put_back_without_the_file_brings_its_home(
    url: str, home: Path, tmp_path: Path, live_in
) -> None:
    who = homes.load()
    live_in(tmp_path / "new")
    (tmp_path / "new").mkdir()
    shutil.copy(home / "senet.db", tmp_path / "new" / "senet.db")
    assert require_ownership(prepare_database()) == (who.identity if who else None)


def test_taking_over_waits_for_running_jobs(home: Path, tmp_path: Path, live_in) -> None:
    from engine.jobs import queue as store

    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    live_in(home, shared)
    prepare_database()
    job = queue(shared, "sleep")
    store.claim(shared, job, home="that one", host="h", pid=1, lease_s=60)
    live_in(tmp_path / "second", shared)
    with pytest.raises(DatabaseUnusable, match="are running"):
        take_over()
    store.end(shared, job, 1, JobStatus.SUCCEEDED)
    before = take_over()
    assert before is not None
    assert before.folder == str(home)
    assert prepare_database() == shared
    assert row(shared, job).status == JobStatus.SUCCEEDED


def test_databases_of_before_there_were_homes_are_claimed_by_the_first(
    home: Path, tmp_path: Path, live_in
) -> None:
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    live_in(home, shared)
    prepare_database()
    with connect(shared).begin() as connection:
        connection.exec_driver_sql("DELETE FROM home")
    (home / homes.FILE).unlink()
    prepare_database()
    assert require_ownership(shared)


def test_a_damaged_file_is_named(url: str, home: Path) -> None:
    (home / homes.FILE).write_text('{"identity": 5}')
    with pytest.raises(HomeUnusable, match="is damaged"):
        prepare_database()


def test_a_password_is_never_kept_nor_told(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql+psycopg://me:hush@host:5432/name?password=hush"
    assert "hush" not in homes.name_of(url) + database_label(url)
    assert database_label(url) == "The database name on host:5432"
