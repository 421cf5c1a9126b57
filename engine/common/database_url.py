"""The database URL: validation, and labels for messages that never show the password."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from db.session import sqlite_file
from engine.common.program import program
from engine.errors import DatabaseUnusable

BACKENDS = ("sqlite", "postgresql")
_ADDRESSES = (
    "Write sqlite:////folder/file.db or postgresql+psycopg://user:password@host/name; without "
    "DATABASE_URL the database is a file of the home."
)


def require_usable(url: str) -> None:
    """Raises DatabaseUnusable unless the URL names an SQLite file or a PostgreSQL database."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in BACKENDS:
            raise DatabaseUnusable(
                f"DATABASE_URL names {parsed.get_backend_name()[:30]}; the workbench supports "
                f"SQLite and PostgreSQL. {_ADDRESSES}"
            )
        parsed.get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        raise DatabaseUnusable(
            f"DATABASE_URL needs the driver {error.name}, which is not installed. `pip install "
            f"-r requirements/postgres.txt` installs psycopg, for addresses that begin with "
            f"postgresql+psycopg://."
        ) from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise DatabaseUnusable(f"DATABASE_URL is not a valid database URL. {_ADDRESSES}") from error
    if parsed.get_backend_name() == "sqlite" and sqlite_file(url) is None:
        raise DatabaseUnusable(
            f"DATABASE_URL must name a file: jobs are processes of their own, which cannot see a "
            f"database in memory. {_ADDRESSES}"
        )


def location_of(url: str) -> str:
    """`/x/senet.db`, or `senet on host:5432`; never contains a password."""
    file = sqlite_file(url)
    if file is not None:
        return str(file)
    parsed = make_url(url)
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.database or 'without a name'} on {parsed.host or 'this machine'}{port}"


def database_label(url: str) -> str:
    """`The database /x/senet.db`, as the subject of a message."""
    return f"The database {location_of(url)}"


def missing_database_message(url: str) -> str:
    """Message for a database file that no longer exists, with what to do."""
    return (
        f"{database_label(url)} no longer exists; the jobs and results in it are lost. Restore the "
        f"file from a backup, or create an empty database: `{program()} home new-database`."
    )


def without_password(text: str, url: str) -> str:
    """A driver's error text with the password replaced; drivers may quote the whole URL."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return text
    secrets = [parsed.password, parsed.query.get("password")]
    for secret in filter(None, map(str, filter(None, secrets))):
        text = text.replace(secret, "***")
    return text
