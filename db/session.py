"""Engines and sessions: SQLite in WAL by default, any other database by its URL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session

BUSY_TIMEOUT_MS = 15_000


@lru_cache(maxsize=8)
def connect(url: str) -> Engine:
    """The process's engine for `url`; the same object for the same URL."""
    engine = create_engine(
        url, pool_pre_ping=not url.startswith("sqlite"), json_deserializer=_from_json
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _from_json(text: str) -> Any:
    # A key that a document lacks is read as null, by the ten thousand.
    return None if text == "null" else json.loads(text)


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # The driver must not open transactions by itself: see _begin_immediate.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Any) -> None:
    # A transaction that reads first and writes later cannot wait for the lock in SQLite: it
    # fails at once. Writers therefore take the lock at BEGIN; readers say `readonly`.
    readonly = connection.get_execution_options().get("readonly", False)
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")


@contextmanager
def writing(url: str) -> Iterator[Session]:
    """A short transaction that writes; committed at the end, rolled back on any error."""
    with Session(connect(url), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(url: str) -> Iterator[Session]:
    """A session that only reads and never waits for a writer."""
    engine = connect(url).execution_options(readonly=True)
    with Session(engine, expire_on_commit=False) as session:
        yield session
