"""Errors of the system and the database as one sentence with the way out.

The only place that knows the errors of the operating system, SQLite and PostgreSQL. Commands,
pages, the dispatcher and jobs use it before they report an error as unexpected.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from db.session import BUSY_TIMEOUT_MS, DatabaseGone, NulCharacter
from engine.common.database_url import database_label, missing_database_message, without_password
from engine.common.program import program
from engine.config import settings
from engine.errors import WorkbenchError
from engine.text import quoted

FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_OTHERS: dict[int, str] = {
    errno.EFBIG: "A file grew beyond what the system allows (`ulimit -f`): raise that limit.",
    errno.EMFILE: "Too many files are open: raise the limit (`ulimit -n`).",
    errno.ENFILE: "Too many files are open on this machine: end some of its processes.",
    errno.EAGAIN: "The system starts no further process: raise the limit (`ulimit -u`).",
    errno.ENOMEM: "Out of memory: this needs more than the machine has free.",
    errno.EIO: "The disk failed to read or write; see the log of the system (`dmesg`).",
}


def error_message(error: BaseException) -> str | None:
    """The sentence for an error of the product, the system or the database; None for others."""
    if isinstance(error, WorkbenchError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Out of memory: this needs more than the machine has free."
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, DatabaseGone):
        return missing_database_message(settings().url)
    nul = getattr(error, "orig", None) or error  # found while SQLAlchemy prepared a statement
    if isinstance(nul, NulCharacter):
        return f"A text has a NUL character, which is not stored: {quoted(nul.text)}. Remove it."
    found = _driver_error(error)
    if found is not None or isinstance(error, SQLAlchemyError):
        return _of_database(found or error)
    return None


def unexpected_error_message(error: BaseException) -> str:
    """One line for an error without a sentence of its own."""
    lines = str(error).strip().splitlines()
    return f"Unexpected {type(error).__name__}: {lines[0][:200] if lines else 'no message'}"


def full_disk(folder: Path) -> str:
    """Message for a full disk: free space and the way out."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free_mb = shutil.disk_usage(folder).free / 1e6
    return (
        f"The disk is full ({free_mb:.0f} MB free): no partial file was kept. Free some space "
        f"under {settings().home} and retry."
    )


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Exits with a sentence instead of a traceback, for modules run by `python -m`."""
    try:
        yield
    except Exception as error:
        message = error_message(error)
        if message is None:
            raise
        print(f"Error: {message}", file=sys.stderr, flush=True)
        sys.exit(1)


def _of_system(error: OSError) -> str:
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if error.errno in FULL:
        return full_disk(Path(name) if name else settings().home)
    if error.errno in _READ_ONLY and (not name or Path(name).is_relative_to(settings().home)):
        return (
            f"{name or settings().home} cannot be written ({error.strerror}): make the home "
            f"{settings().home} writable, or set SENET_HOME to another folder."
        )
    if error.errno in _OTHERS:
        return _OTHERS[error.errno]
    return f"{name}: {error.strerror}." if name else f"System error: {error}."


def _driver_error(error: BaseException) -> BaseException | None:
    """The error of the database driver, wrapped by SQLAlchemy or pandas."""
    depth = 0
    current: BaseException | None = error
    while current is not None and depth < 8:
        if isinstance(current, DBAPIError) and current.orig is not None:
            return current.orig
        if isinstance(current, sqlite3.Error):
            return current
        current, depth = current.__cause__, depth + 1
    return None


def _of_database(error: BaseException) -> str:
    url = settings().url
    lines = without_password(str(error), url).strip().splitlines()
    detail = lines[0][:200].rstrip(".") if lines else type(error).__name__
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.Error):
        sentence = _SQLITE.get((code or 0) & 0xFF)
        if sentence is None:
            return _other(detail)
        return sentence.format(db=database_label(url), home=settings().home, program=program())
    state = getattr(error, "sqlstate", None) or _state_in(detail, type(error).__name__)
    for begin, sentence in _POSTGRESQL.items():
        if state.startswith(begin):
            return sentence.format(db=database_label(url), detail=detail)
    return _other(detail)


def _state_in(detail: str, kind: str) -> str:
    """The SQLSTATE of a refused connection, for which the driver gives only text."""
    states = (state for words, state in _REFUSALS.items() if words in detail)
    return next(states, "08001" if kind == "OperationalError" else "")


def _other(detail: str) -> str:
    return f"The database could not be read or written ({detail}): try again."


_SQLITE = {
    sqlite3.SQLITE_BUSY: (
        f"{{db}} is locked: another process has been writing to it for over "
        f"{BUSY_TIMEOUT_MS / 1e3:.0f} s. Wait until it is done, or end it, and try again."
    ),
    sqlite3.SQLITE_LOCKED: "{db} is locked by another process: try again when it is done.",
    sqlite3.SQLITE_FULL: (
        "{db} cannot grow, the disk is full: no partial file was kept. Free some space and "
        "try again."
    ),
    sqlite3.SQLITE_READONLY: (
        "{db} cannot be written, it is read-only here: make it and its folder writable, or set "
        "SENET_HOME to another folder."
    ),
    sqlite3.SQLITE_PERM: "{db} may not be opened by this user: change its permissions.",
    sqlite3.SQLITE_IOERR: (
        "{db} could not be read or written by the system: check whether its disk is full, "
        "read-only or damaged (`dmesg`)."
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "{db} cannot be opened: check that its folder exists, is writable and has free space."
    ),
    sqlite3.SQLITE_CORRUPT: (
        "{db} is damaged: restore it from a backup, or move it away and `{program} "
        "home new-database` creates an empty one."
    ),
    sqlite3.SQLITE_NOTADB: (
        "{db} is not a database file: set DATABASE_URL or SENET_HOME to "
        "another location, or move the file away and `{program} home new-database` creates an "
        "empty one."
    ),
}
"""By SQLite's primary result code."""

_POSTGRESQL = {
    "28": "{db} refuses the login ({detail}): correct user and password in DATABASE_URL.",
    "3D": "{db} does not exist on that server: create it (`createdb`), or correct DATABASE_URL.",
    "42501": "{db} does not let this user do that ({detail}): grant the rights, and try again.",
    "53100": "{db} cannot grow, the server's disk is full: free some space, and try again.",
    "25006": "{db} is read-only at the moment: set DATABASE_URL to the server that takes writes.",
    "55P03": "{db} is locked by another process: try again when it is done.",
    "57014": "{db} took too long to answer ({detail}): try again.",
    "53": "{db} accepts no further connections at the moment ({detail}): try again.",
    "57": "{db} is shutting down or starting ({detail}): try again.",
    "option": "DATABASE_URL has an option that the driver does not support ({detail}): correct it.",
    "08": "{db} cannot be reached ({detail}): start the server, or correct DATABASE_URL.",
}
"""By the beginning of the SQLSTATE, the most exact first."""

_REFUSALS = {
    "authentication failed": "28P01",
    "pg_hba.conf": "28000",
    "no password supplied": "28000",
    'role "': "28000",
    'database "': "3D000",
    "invalid connection option": "option",
    "starting up": "57P03",
    "accepting connections": "57P03",
}


def explain(error: BaseException) -> str:
    """One sentence for users; for an unexpected error its type and message."""
    return error_message(error) or f"{unexpected_error_message(error)} (see the log)."
