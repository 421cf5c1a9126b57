"""The migrations make exactly the tables that the code declares."""

from __future__ import annotations

import time
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from db.migrate import is_current, upgrade
from db.session import connect, reading, writing
from db.tables import Base, Run


def test_an_upgraded_database_is_what_the_code_declares(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    assert not is_current(url)
    upgrade(url)
    assert is_current(url)
    with connect(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    assert set(Base.metadata.tables) <= set(inspect(connect(url)).get_table_names())


def test_upgrading_twice_keeps_the_rows(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    upgrade(url)
    with writing(url) as session:
        session.add(Run(title="kept", request={}))
    upgrade(url)
    with reading(url) as session:
        assert [run.title for run in session.query(Run)] == ["kept"]


def test_sqlite_runs_in_wal_with_foreign_keys(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path / 'a.db'}").connect() as connection:
        pragmas = [connection.scalar(text(f"PRAGMA {p}")) for p in ("journal_mode", "foreign_keys")]
        assert pragmas == ["wal", 1]
        assert connection.scalar(text("PRAGMA busy_timeout")) >= 5000


def test_rows_carry_the_time_of_the_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    upgrade(url)
    with writing(url) as session:
        session.add(run := Run(title="now", request={}))
    assert abs(run.created_at - time.time()) < 5
