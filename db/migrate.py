"""Brings a database to the newest schema, whatever state it is in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from db.models import Base
from db.session import connect, is_missing

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "alembic_version"


class UnknownSchema(Exception):
    """The tables of a database are of a newer version (`revision`), or not the workbench's."""

    def __init__(self, revision: str | None) -> None:
        super().__init__(revision or "tables of something else")
        self.revision = revision


def upgrade(url: str, home: Path | None = None) -> None:
    """Applies every migration that is missing; does nothing on a database that is up to date.

    `home` is the folder that stored paths become relative to, where they lie in it.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with connect(url).connect() as connection:
        config.attributes.update(connection=connection, home=home)
        command.upgrade(config, "head")


def is_current(url: str) -> bool:
    """Whether the database has every migration. Raises UnknownSchema, and never writes."""
    if is_missing(url):
        return False
    with connect(url).execution_options(readonly=True).connect() as connection:
        tables = set(inspect(connection).get_table_names())
        revision = _revision_of(connection) if _VERSION_TABLE in tables else None
        own_file = connection.dialect.name == "sqlite"
    if revision is None:
        if tables and (own_file or tables & set(Base.metadata.tables)):
            raise UnknownSchema(None)
        return False
    if revision not in revisions():
        raise UnknownSchema(revision)
    return revision == newest()


def _revision_of(connection: Connection) -> str | None:
    """The last migration that was applied, as alembic keeps it."""
    return connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608


@lru_cache(maxsize=1)
def revisions() -> tuple[str, ...]:
    """Every migration, the newest first, by the beginnings of their file names.

    Alembic would import every migration to say the same; most commands only ask whether the
    database has the newest.
    """
    names = (file.name for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    return tuple(sorted((name.partition("_")[0] for name in names), reverse=True))


def newest() -> str:
    """The schema that this version of the workbench writes."""
    return revisions()[0]
