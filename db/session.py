"""Engines and sessions: SQLite in WAL mode by default, other databases by URL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    DatabaseError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,
)
from sqlalchemy.orm import Session

BUSY_TIMEOUT_MS = 15_000
CUT_OFF_S = 20
"""A connection to a server that does not answer is given up after so long; less than a lease."""
_WAIT_MS, _FILE = "senet_wait_ms", "senet_file"
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class DatabaseGone(SQLAlchemyError):
    """The file of an SQLite database is not there, or is empty."""

    def __init__(self, file: Path | None) -> None:
        super().__init__(f"{file} does not exist")


class NulCharacter(SQLAlchemyError):
    """A text that is to be stored has a NUL character, which PostgreSQL cannot hold."""

    def __init__(self, text: str) -> None:
        super().__init__("a text has a NUL character")
        self.text = text


class _LockTimeout:
    """Default time that this process waits for SQLite's lock."""

    wait_ms = BUSY_TIMEOUT_MS


class _Guard:
    """What each transaction of this process that writes begins with."""

    check: Callable[[Session], None] | None = None


@contextmanager
def guarded(check: Callable[[Session], None]) -> Iterator[None]:
    """Meanwhile each transaction that writes begins with `check`, which raises to forbid it."""
    _Guard.check = check
    try:
        yield
    finally:
        _Guard.check = None


def wait_for_locks(seconds: float) -> None:
    """Sets how long this process waits for another writer from now on."""
    _LockTimeout.wait_ms = int(seconds * 1e3)


@lru_cache(maxsize=8)
def connect(url: str) -> Engine:
    """The process's engine for `url`; the same object for the same URL."""
    engine = create_engine(
        url,
        connect_args=_connection_limits(url),
        pool_pre_ping=not url.startswith("sqlite"),
        json_serializer=_to_json,
        json_deserializer=_from_json,
        hide_parameters=True,
    )
    event.listen(engine, "before_cursor_execute", _refuse_nul)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        if (file := sqlite_file(url)) is not None:
            _follow_file(engine, file)
    return engine


def _connection_limits(url: str) -> dict[str, Any]:
    """What keeps a connection to a server that is cut off from waiting, or holding rows, for ever.

    The server ends a transaction that stays idle, so that what a lost client has sent before
    cannot be committed long after.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql" or "psycopg" not in parsed.drivername:
        return {}
    idle = f"-c idle_in_transaction_session_timeout={1000 * CUT_OFF_S}"
    limits = {
        "connect_timeout": CUT_OFF_S // 2,
        "keepalives_idle": CUT_OFF_S // 4,
        "keepalives_interval": CUT_OFF_S // 4,
        "keepalives_count": 3,
        "tcp_user_timeout": 1000 * CUT_OFF_S,
        "options": idle,
    }
    return {name: value for name, value in limits.items() if name not in parsed.query}


@lru_cache(maxsize=8)
def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for one of a server, or in memory."""
    parsed = make_url(url)
    name = parsed.database or ""
    if parsed.get_backend_name() != "sqlite" or name in ("", ":memory:") or "file:" in name:
        return None
    return Path(name)


def is_missing(url: str) -> bool:
    """Whether an SQLite database has no file, or an empty one."""
    file = sqlite_file(url)
    try:
        return file is not None and not file.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return True


def is_unavailable(error: BaseException) -> bool:
    """Whether the database itself failed (locked, full, missing), not the statement."""
    return (
        isinstance(error, OperationalError | InterfaceError | TimeoutError | DatabaseGone)
        # sqlite3's error for a file that is damaged or not a database.
        or type(error) is DatabaseError
    )


def _to_json(document: Any) -> str:
    text = json.dumps(document, allow_nan=False)  # NaN is no JSON
    if _ESCAPED_NUL.search(text):
        raise NulCharacter(text)
    return text


def _refuse_nul(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> None:
    """SQLite would store a NUL, and cut the text there for some readers.

    The parameters of many rows are a row each, or all values of one statement in a row.
    """
    for row in parameters if many else (parameters,):
        values = row.values() if isinstance(row, dict) else row
        for value in values if isinstance(row, dict | list | tuple) else (row,):
            if isinstance(value, str) and "\0" in value:
                raise NulCharacter(value)


def _from_json(text: str) -> Any:
    # Missing keys of documents are read as null, ten thousands of times.
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
    record.info[_WAIT_MS] = BUSY_TIMEOUT_MS


def _begin_immediate(connection: Any) -> None:
    # A transaction that reads first and writes later cannot wait for the lock in SQLite: it
    # fails at once. Writers therefore take the lock at BEGIN; readers say `readonly`.
    options = connection.get_execution_options()
    wait_ms = options.get(_WAIT_MS, _LockTimeout.wait_ms)
    if connection.info.get(_WAIT_MS) != wait_ms:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={wait_ms}")
        connection.info[_WAIT_MS] = wait_ms
    connection.exec_driver_sql("BEGIN" if options.get("readonly", False) else "BEGIN IMMEDIATE")


def _follow_file(engine: Engine, file: Path) -> None:
    """Closes connections to a file that was replaced: their writes would be lost."""

    def identity() -> tuple[int, int] | None:
        try:
            found = file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @event.listens_for(engine, "connect")
    def remember(connection: Any, record: Any) -> None:
        record.info[_FILE] = identity()

    @event.listens_for(engine, "checkout")
    def compare(connection: Any, record: Any, proxy: Any) -> None:
        if record.info.get(_FILE) != identity():
            raise DisconnectionError(f"{file} is another file now")


def _existing_engine(url: str) -> Engine:
    """The engine of an existing database: connecting to a missing file would create it."""
    if is_missing(url):
        raise DatabaseGone(sqlite_file(url))
    return connect(url)


@contextmanager
def writing(url: str, wait_s: float | None = None) -> Iterator[Session]:
    """A short transaction that writes; committed at the end, rolled back on any error.

    `wait_s` is how long to wait for another process that writes. Raises DatabaseGone.
    """
    engine = _existing_engine(url)
    if wait_s is not None:
        engine = engine.execution_options(**{_WAIT_MS: int(wait_s * 1e3)})
    with Session(engine, expire_on_commit=False) as session, session.begin():
        if _Guard.check is not None:
            _Guard.check(session)
        yield session


@contextmanager
def reading(url: str) -> Iterator[Session]:
    """A session that only reads and never waits for a writer. Raises DatabaseGone."""
    engine = _existing_engine(url).execution_options(readonly=True)
    with Session(engine, expire_on_commit=False) as session:
        yield session
