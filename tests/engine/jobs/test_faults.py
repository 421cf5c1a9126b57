"""The database away while jobs run: progress is skipped, results wait, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from db.enums import JobStatus
from db.session import DatabaseGone, connect, reading, sqlite_file
from engine.config import REPOSITORY, settings
from engine.jobs import queue as store
from engine.jobs import workspaces
from engine.jobs.context import JobContext
from engine.jobs.supervisor import run_job
from tests.support.job_harness import WORKER, dispatcher, queue, row, run_beside, until

pytestmark = pytest.mark.integration


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another process writes, and does not end."""
    file = sqlite_file(url)
    assert file is not None
    with closing(sqlite3.connect(file, isolation_level=None, timeout=20)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def short_lease(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENET_LEASE_S", "4")
    settings.cache_clear()


def test_progress_that_cannot_be_written_is_skipped(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "PROGRESS_WAIT_S", 0.05)
    job = queue(url, "sleep")
    store.claim(url, job, host="here", pid=1, lease_s=30)
    context = JobContext(url, job, 1, tmp_path)
    with locked(url):
        context.say("The work goes on.")
        context.progress(1, 1, "images")
    said = capsys.readouterr().out
    assert "Progress was not written: The database" in said
    assert said.count("not written") == 1, "it is not tried again at once"
    assert row(url, job).message is None


def test_a_lock_shorter_than_the_lease_delays_only_the_end(url: str) -> None:
    """Of the default lease of 30 s; the work ends while nothing can be written."""
    job = queue(url, "stamp", params={"file": os.devnull, "name": "x", "seconds": 1.0})
    thread = run_beside(url, job)
    until(lambda: row(url, job).log_tail is not None, "the first renewal")
    with locked(url):
        time.sleep(3)
    thread.join(timeout=30)
    assert (row(url, job).status, row(url, job).attempt) == (JobStatus.SUCCEEDED, 1)


@pytest.mark.serial
def test_a_lock_longer_than_the_lease_requeues_the_job(url: str, short_lease: None) -> None:
    job = queue(url, "sleep", params={"seconds": 2})
    thread = run_beside(url, job)
    until(lambda: row(url, job).log_tail is not None, "the first renewal")
    with locked(url):
        thread.join(timeout=60)
        assert not thread.is_alive(), "nobody works longer than the lease may last"
    assert row(url, job).status == JobStatus.RUNNING
    store.sweep(url)
    assert row(url, job).status == JobStatus.QUEUED
    run_job(url, job, WORKER)
    assert (row(url, job).status, row(url, job).attempt) == (JobStatus.SUCCEEDED, 2)


def test_work_that_meets_a_lock_waits_for_it(url: str) -> None:
    """Not the progress: a write that the work itself needs, as of an artifact's row."""
    job = queue(url, "record", params={"after_s": 0.5})
    thread = run_beside(url, job)
    until(lambda: row(url, job).log_tail is not None, "the first renewal")
    with locked(url):
        time.sleep(3)
    thread.join(timeout=30)
    assert (row(url, job).status, row(url, job).attempt) == (JobStatus.SUCCEEDED, 1)


def test_work_that_the_database_fails_is_tried_again(url: str) -> None:
    job = queue(url, "unavailable", params={"times": 1})
    run_job(url, job, WORKER)
    assert row(url, job).status == JobStatus.QUEUED
    assert "is locked" in str(row(url, job).message)
    run_job(url, job, WORKER)
    assert (row(url, job).status, row(url, job).attempt) == (JobStatus.SUCCEEDED, 2)


def test_the_last_write_is_insisted_on(url: str) -> None:
    job = queue(url, "sleep")
    store.claim(url, job, host="here", pid=1, lease_s=30)
    failures = iter([DatabaseGone(Path("x")), DatabaseGone(Path("x"))])

    def write() -> bool:
        if (failure := next(failures, None)) is not None:
            raise failure
        return store.end(url, job, 1, JobStatus.SUCCEEDED)

    assert store.retry_until(write, time.monotonic() + 30)
    with pytest.raises(DatabaseGone):
        store.retry_until(_raising(DatabaseGone(Path("x"))), time.monotonic())


def _raising(error: Exception) -> Callable[[], None]:
    def write() -> None:
        raise error

    return write


def test_the_dispatcher_outlives_a_database_that_is_away(url: str, home: Path) -> None:
    job = queue(url, "sleep", params={"seconds": 0.2})
    away = home / "senet.db"
    connect(url).dispose()
    with closing(sqlite3.connect(away)) as checkpoint:
        checkpoint.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    away.rename(home / "kept.db")
    with dispatcher(SENET_IDLE_S="20") as process:
        time.sleep(3)
        assert process.poll() is None
        assert not away.exists(), "no empty one is made in its place"
        (home / "kept.db").rename(away)
        until(lambda: row(url, job).status == JobStatus.SUCCEEDED, "the job that waited")


def test_a_connection_never_outlives_its_file(url: str, home: Path) -> None:
    """What is written into a file that was deleted or replaced would be lost."""
    queue(url, "sleep")
    (home / "senet.db").rename(home / "away.db")
    with pytest.raises(DatabaseGone):
        queue(url, "sleep", params={"n": 2})
    (home / "away.db").rename(home / "senet.db")
    with reading(url) as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM job").scalar() == 1


def test_what_killed_attempts_left_is_cleared_by_the_next_dispatcher(url: str, home: Path) -> None:
    (home / "tmp" / "job-7.2" / "artifact").mkdir(parents=True)
    (home / "tmp" / "someone else's").mkdir()
    (home / "datasets" / ".demo-abcd").mkdir(parents=True)
    (home / "datasets" / "mine").mkdir()
    job = queue(url, "sleep", params={"seconds": 0.2})
    with dispatcher():
        until(lambda: row(url, job).status == JobStatus.SUCCEEDED, "the job")
        left = ["someone else's"]
        until(lambda: [path.name for path in (home / "tmp").iterdir()] == left, "the clearing")
    assert [path.name for path in (home / "datasets").iterdir()] == ["mine"]


def test_the_folder_of_a_running_attempt_is_never_abandoned(url: str, home: Path) -> None:
    job = queue(url, "sleep")
    store.claim(url, job, host="here", pid=1, lease_s=30)
    for attempt in (1, 2):
        (home / "tmp" / f"job-{job}.{attempt}").mkdir(parents=True)
    assert [path.name for path in workspaces.abandoned(url)] == [f"job-{job}.2"]


def test_parts_of_dead_processes_go_and_those_of_live_ones_stay(url: str, home: Path) -> None:
    folder = settings().folder("results")
    dead = subprocess.Popen(["true"])
    dead.wait()
    old = time.time() - 2 * workspaces.STALE_S
    for name, when in {
        f"a.npz.{dead.pid}.part": old,
        f"b.npz.{dead.pid}.part": time.time(),
        f"c.npz.{os.getpid()}.part": old,
        "d.part": old,
    }.items():
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (when, when))
    workspaces.remove(workspaces.abandoned(url))
    left = {path.name.split(".")[0] for path in folder.iterdir()}
    assert left == {"b", "c", "d"}


def test_what_a_job_writes_for_the_moment_goes_with_it(url: str) -> None:
    job = queue(url, "leave_temporary")
    thread = run_beside(url, job)
    thread.join(timeout=30)
    path = Path((row(url, job).result or {})["path"])
    assert path.is_relative_to(workspaces.workspace_of(job, 1))
    assert not path.exists()


def test_the_lifeline_is_held_before_anything_heavy_is_imported() -> None:
    """A worker whose parent dies while it still imports must not outlive it."""
    code = (
        "import sys, runpy\n"
        "from engine.jobs import lifeline\n"
        "def attach():\n"
        "    heavy = {'sqlalchemy', 'pydantic', 'numpy', 'torch'} & set(sys.modules)\n"
        "    print('heavy' if heavy else 'light', flush=True)\n"
        "    raise SystemExit\n"
        "lifeline.attach = attach\n"
        "runpy.run_module('engine.worker', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.stdout == "light\n"


def test_a_job_that_cannot_start_fails_with_the_reason(url: str, home: Path) -> None:
    job = queue(url, "sleep")
    (home / "logs").write_text("a file where the folder of logs should be")
    run_job(url, job, WORKER)
    assert row(url, job).status == JobStatus.FAILED
    assert "logs: File exists." in str(row(url, job).error)


def test_what_is_written_goes_into_the_file_that_took_the_place(url: str, home: Path) -> None:
    files = [home / "senet.db", home / "new.db"]
    with closing(sqlite3.connect(files[0])) as now, closing(sqlite3.connect(files[1])) as new:
        now.backup(new)
    (home / "new.db").rename(home / "senet.db")
    queue(url, "sleep", params={"after": "replacing"})
    with closing(sqlite3.connect(home / "senet.db")) as found:
        assert found.execute("SELECT count(*) FROM job").fetchone() == (1,)
