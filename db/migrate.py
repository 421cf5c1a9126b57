"""Brings a database to the newest schema, whatever state it is in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from db.session import connect, is_missing
from db.tables import Base


class UnknownSchema(Exception):
    """The tables of a database are of a newer version (`revision`), or not the workbench's."""

    def __init__(self, revision: str | None) -> None:
        super().__init__(revision or "tables of something else")
        self.revision = revision


def upgrade(url: str, home: Path | None = None) -> None:
    """Applies every migration that is missing; does nothing on a database that is up to date.

    `home` is the folder that stored paths become relative to, where they lie in it.
    """
    config = _config()
    with connect(url).connect() as connection:
        config.attributes.update(connection=connection, home=home)
        command.upgrade(config, "head")


def is_current(url: str) -> bool:
    """Whether the database has every migration. Raises UnknownSchema, and never writes."""
    if is_missing(url):
        return False
    with connect(url).execution_options(readonly=True).connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        tables = set(inspect(connection).get_table_names()) if revision is None else set()
        own_file = connection.dialect.name == "sqlite"
    if revision is None:
        if tables and (own_file or tables & set(Base.metadata.tables)):
            raise UnknownSchema(None)
        return False
    if revision not in _revisions():
        raise UnknownSchema(revision)
    return revision == _revisions()[0]


@lru_cache(maxsize=1)
def _revisions() -> tuple[str, ...]:
    """Every migration, the newest first."""
    scripts = ScriptDirectory.from_config(_config())
    return tuple(script.revision for script in scripts.walk_revisions())


def newest() -> str:
    """The schema that this version of the workbench writes."""
    return _revisions()[0]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
