"""One dispatcher for a PostgreSQL database, whichever machine it runs on.

The lock belongs to a connection: the server frees it when the dispatcher or its machine dies, and
another one takes over. With SQLite the lock file of the home is enough.
"""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from db.session import connect, sqlite_file

KEY = 0x5E2E7
_TAKE = text("SELECT pg_try_advisory_lock(:key)")
_HELD = text(
    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND granted "
    "AND objid = :key AND database = (SELECT oid FROM pg_database "
    "WHERE datname = current_database()))"
)
# A machine that vanished says nothing: the server asks it, and frees the lock after 20 s.
_ASK = tuple(
    text(f"SET tcp_keepalives_{name} = {value}")
    for name, value in (("idle", 10), ("interval", 5), ("count", 2))
)


class Leadership:
    """The right to dispatch the jobs of a database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: Connection | None = None

    def hold(self) -> bool:
        """Takes the lock, or makes sure that it is still held; False if another one has it.

        Raises SQLAlchemyError while the database is unavailable.
        """
        if sqlite_file(self.url) is not None:
            return True
        if self.connection is not None:
            try:
                self.connection.execute(text("SELECT 1"))
                return True
            except SQLAlchemyError:
                self.give_up()  # the lock is gone with the connection
                raise
        self.connection = self._open()
        if self.connection.scalar(_TAKE, {"key": KEY}):
            return True
        self.give_up()
        return False

    def _open(self) -> Connection:
        engine = connect(self.url).execution_options(isolation_level="AUTOCOMMIT")
        connection = engine.connect()
        for statement in _ASK:
            connection.execute(statement)
        return connection

    def give_up(self) -> None:
        """Frees the lock."""
        if self.connection is not None:
            with suppress(SQLAlchemyError):
                self.connection.invalidate()
                self.connection.close()
        self.connection = None


def has_leader(url: str) -> bool:
    """Whether a dispatcher leads, on any machine; False with SQLite or without a server."""
    if sqlite_file(url) is not None:
        return False
    try:
        with connect(url).connect() as connection:
            return bool(connection.scalar(_HELD, {"key": KEY}))
    except SQLAlchemyError:
        return False
