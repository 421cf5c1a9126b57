"""Migrations of the database schema."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from db.models import Base
from db.session import connect, is_missing

MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "alembic_version"


class UnknownSchema(Exception):
    """The schema is of a newer version (`revision`), or the tables are of another program."""

    def __init__(self, revision: str | None) -> None:
        super().__init__(revision or "tables of another program")
        self.revision = revision


def upgrade(url: str, home: Path | None = None) -> None:
    """Applies all missing migrations; does nothing on an up-to-date database.

    Stored paths inside the folder `home` become relative to it.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with connect(url).connect() as connection:
        config.attributes.update(connection=connection, home=home)
        command.upgrade(config, "head")


def is_current(url: str) -> bool:
    """Whether the database has all migrations; never writes. Raises UnknownSchema."""
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
    """The last applied migration, as stored by Alembic."""
    return connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608


@lru_cache(maxsize=1)
def revisions() -> tuple[str, ...]:
    """All migrations, newest first, by the numbers in their file names.

    Faster than Alembic, which imports every migration; most commands only compare the newest.
    """
    names = (file.name for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    return tuple(sorted((name.partition("_")[0] for name in names), reverse=True))


def newest() -> str:
    """The schema of this version of the workbench."""
    return revisions()[0]
