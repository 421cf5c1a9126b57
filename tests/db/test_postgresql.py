"""A PostgreSQL server in the place of the SQLite file: schema, borders, restarts."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import SQLAlchemyError

from db.enums import JobStatus
from db.migrate import is_current
from db.models import Base, Job, Run
from db.session import connect, writing
from engine.common.error_sentences import error_message
from tests.support.job_harness import dispatcher, queue, row, run_beside, until
from tests.support.postgresql import Server

pytestmark = [pytest.mark.integration, pytest.mark.databases]


def test_the_schema_is_what_the_code_declares(url: str) -> None:
    assert is_current(url)
    with connect(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize(
    "run",
    [
        {"title": "a\0b", "request": {}},
        {"title": "a", "request": {"name": "b\0c"}},
        {"title": "a", "request": {"path": "c:\\\0"}},
    ],
)
def test_a_nul_character_is_refused_by_both(url: str, run: dict[str, Any]) -> None:
    with pytest.raises(SQLAlchemyError) as caught, writing(url) as session:
        session.add(Run(**run))
    assert "has a NUL character, which is not stored" in str(error_message(caught.value))


def test_rows_of_one_statement_are_stored_together_and_checked_each(url: str) -> None:
    def two_jobs(second: str) -> list[Job]:
        return [Job(kind="build", title=t, params={}, key=t, timeout_s=1.0) for t in ("a", second)]

    with writing(url) as session:
        session.add_all(two_jobs("b"))
    with pytest.raises(SQLAlchemyError), writing(url) as session:
        session.add_all(two_jobs("c\0"))


def test_a_backslash_before_u0000_is_no_nul(url: str) -> None:
    with writing(url) as session:
        session.add(run := Run(title="a", request={"path": "c:\\u0000"}))
    assert run.request == {"path": "c:\\u0000"}


def test_a_number_that_json_has_not_is_refused_by_both(url: str) -> None:
    with pytest.raises((SQLAlchemyError, ValueError), match="not JSON"), writing(url) as session:
        session.add(Run(title="a", request={"share": float("nan")}))


@pytest.mark.databases("postgresql")
def test_a_crash_of_the_server_delays_a_job_and_loses_nothing(url: str, postgresql: Server) -> None:
    job = queue(url, "sleep", params={"seconds": 2})
    thread = run_beside(url, job)
    until(lambda: row(url, job).log_tail is not None, "the first renewal")
    postgresql.stop("immediate")
    postgresql.start()
    thread.join(timeout=60)
    assert (row(url, job).status, row(url, job).attempt) == (JobStatus.SUCCEEDED, 1)


@pytest.mark.databases("postgresql")
def test_the_dispatcher_outlives_a_server_that_is_away(url: str, postgresql: Server) -> None:
    job = queue(url, "sleep", params={"seconds": 0.2})
    postgresql.stop()
    try:
        with dispatcher(SENET_IDLE_S="20") as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2)
            postgresql.start()
            until(lambda: row(url, job).status == JobStatus.SUCCEEDED, "the job that waited")
    finally:
        with suppress(subprocess.CalledProcessError):  # it runs already
            postgresql.start()
