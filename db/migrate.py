"""Brings a database to the newest schema, whatever state it is in."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect

from db.session import connect


def upgrade(url: str) -> None:
    """Applies every migration that is missing; does nothing on a database that is up to date."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with connect(url).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(url: str) -> bool:
    """Whether the database has been migrated at least once."""
    return inspect(connect(url)).has_table("alembic_version")
