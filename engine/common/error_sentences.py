"""What went wrong with the machine or the database, as one sentence with the way out.

This is the one place that knows the errors of the system, of SQLite and of PostgreSQL. Commands,
pages, the dispatcher and the jobs ask it before they call an error unexpected.
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

from db.session import BUSY_TIMEOUT_MS, DatabaseGone
from engine.common.database_url import gone, told, without_password
from engine.common.program import program
from engine.config import settings
from engine.errors import WorkbenchError

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


def sentence_of(error: BaseException) -> str | None:
    """The sentence for an error of the product, the machine or the database; else None."""
    if isinstance(error, WorkbenchError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Out of memory: this needs more than the machine has free."
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, DatabaseGone):
        return gone(settings().url)
    found = _driver_error(error)
    if found is not None or isinstance(error, SQLAlchemyError):
        return _of_database(found or error)
    return None


def unexpected(error: BaseException) -> str:
    """One line of an error that nothing here explains."""
    lines = str(error).strip().splitlines()
    return f"Unexpected {type(error).__name__}: {lines[0][:200] if lines else 'no message'}"


def full_disk(folder: Path) -> str:
    """How full it is, and what to do."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free_mb = shutil.disk_usage(folder).free / 1e6
    return (
        f"The disk is full ({free_mb:.0f} MB free): nothing half-written was kept. Free some space "
        f"under {settings().home} and retry."
    )


@contextmanager
def speaking() -> Iterator[None]:
    """Ends the process with a sentence instead of a traceback, for `python -m` of a module."""
    try:
        yield
    except Exception as error:
        told_ = sentence_of(error)
        if told_ is None:
            raise
        print(f"Error: {told_}", file=sys.stderr, flush=True)
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
    return f"{name}: {error.strerror}." if name else f"The system said: {error}."


def _driver_error(error: BaseException) -> BaseException | None:
    """What the database's driver said, inside of what SQLAlchemy or pandas made of it."""
    seen = 0
    found: BaseException | None = error
    while found is not None and seen < 8:
        if isinstance(found, DBAPIError) and found.orig is not None:
            return found.orig
        if isinstance(found, sqlite3.Error):
            return found
        found, seen = found.__cause__, seen + 1
    return None


def _of_database(error: BaseException) -> str:
    url = settings().url
    lines = without_password(str(error), url).strip().splitlines()
    detail = lines[0][:200].rstrip(".") if lines else type(error).__name__
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.Error):
        known = _SQLITE.get((code or 0) & 0xFF)
        if known is None:
            return _other(detail)
        return known.format(told=told(url), home=settings().home, program=program())
    state = getattr(error, "sqlstate", None) or _state_in(detail, type(error).__name__)
    for begin, known in _POSTGRESQL.items():
        if state.startswith(begin):
            return known.format(told=told(url), detail=detail)
    return _other(detail)


def _state_in(detail: str, kind: str) -> str:
    """The SQLSTATE of a connection that was refused: the driver has only words for it."""
    known = (state for words, state in _REFUSALS.items() if words in detail)
    return next(known, "08001" if kind == "OperationalError" else "")


def _other(detail: str) -> str:
    return f"The database could not be read or written ({detail}): try again."


_SQLITE = {
    sqlite3.SQLITE_BUSY: (
        f"{{told}} is locked: another process has been writing to it for over "
        f"{BUSY_TIMEOUT_MS / 1e3:.0f} s. Wait until it is done, or end it, and try again."
    ),
    sqlite3.SQLITE_LOCKED: "{told} is locked by another process: try again when it is done.",
    sqlite3.SQLITE_FULL: (
        "{told} cannot grow, the disk is full: nothing half-written was kept. Free some space and "
        "try again."
    ),
    sqlite3.SQLITE_READONLY: (
        "{told} cannot be written, it is read-only here: make it and its folder writable, or set "
        "SENET_HOME to another folder."
    ),
    sqlite3.SQLITE_PERM: "{told} may not be opened by this user: change its permissions.",
    sqlite3.SQLITE_IOERR: (
        "{told} could not be read or written by the system: see whether its disk is full, "
        "read-only or damaged (`dmesg`)."
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "{told} cannot be opened: see whether its folder is there, is writable and has space left."
    ),
    sqlite3.SQLITE_CORRUPT: (
        "{told} is damaged: put it back from a backup, or move it away and `{program} "
        "home new-database` begins with an empty one."
    ),
    sqlite3.SQLITE_NOTADB: (
        "{told} is a file of another kind, not a database: set DATABASE_URL or SENET_HOME to "
        "another place, or move the file away and `{program} home new-database` begins with an "
        "empty one."
    ),
}
"""By SQLite's primary result code."""

_POSTGRESQL = {
    "28": "{told} refuses the login ({detail}): correct user and password in DATABASE_URL.",
    "3D": "{told} does not exist on that server: make it (`createdb`), or correct DATABASE_URL.",
    "42501": "{told} does not let this user do that ({detail}): grant the rights, and try again.",
    "53100": "{told} cannot grow, the server's disk is full: free some space, and try again.",
    "25006": "{told} is read-only at the moment: set DATABASE_URL to the server that takes writes.",
    "55P03": "{told} is locked by another process: try again when it is done.",
    "57014": "{told} took too long to answer ({detail}): try again.",
    "53": "{told} takes no further connection at the moment ({detail}): try again.",
    "57": "{told} is shutting down or starting ({detail}): try again.",
    "option": "DATABASE_URL holds what the driver does not know ({detail}): correct it.",
    "08": "{told} cannot be reached ({detail}): start the server, or correct DATABASE_URL.",
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
    """One sentence for the user: what happened, and the way out where there is one."""
    return sentence_of(error) or f"{unexpected(error)} (see the log)."
