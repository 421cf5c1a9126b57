"""The address of the database: whether it can be one, and how it is told without a password."""

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
    """Raises DatabaseUnusable for an address that can be no database's of the workbench."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in BACKENDS:
            raise DatabaseUnusable(
                f"DATABASE_URL asks for {parsed.get_backend_name()[:30]}, and the workbench keeps "
                f"its rows in SQLite or PostgreSQL. {_ADDRESSES}"
            )
        parsed.get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        raise DatabaseUnusable(
            f"DATABASE_URL asks for the driver {error.name}, which is not installed. `pip install "
            f"-r requirements/postgres.txt` installs psycopg, for addresses that begin with "
            f"postgresql+psycopg://."
        ) from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise DatabaseUnusable(f"DATABASE_URL is no address of a database. {_ADDRESSES}") from error
    if parsed.get_backend_name() == "sqlite" and sqlite_file(url) is None:
        raise DatabaseUnusable(
            f"DATABASE_URL must name a file: jobs are processes of their own, which cannot see a "
            f"database in memory. {_ADDRESSES}"
        )


def place_of(url: str) -> str:
    """`/x/senet.db`, or `senet on host:5432`: for people, never with a password."""
    file = sqlite_file(url)
    if file is not None:
        return str(file)
    parsed = make_url(url)
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.database or 'without a name'} on {parsed.host or 'this machine'}{port}"


def told(url: str) -> str:
    """The subject of a sentence about the database."""
    return f"The database {place_of(url)}"


def gone(url: str) -> str:
    """What to do when the file of a database is not there any more."""
    return (
        f"{told(url)} is gone, and with it the jobs and results that were in it. Put the file "
        f"back; or `{program()} home new-database` begins with an empty one."
    )


def without_password(text: str, url: str) -> str:
    """What a driver says, which may quote the address that it was given."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return text
    secrets = [parsed.password, parsed.query.get("password")]
    for secret in filter(None, map(str, filter(None, secrets))):
        text = text.replace(secret, "***")
    return text
