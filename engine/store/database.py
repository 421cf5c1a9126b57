"""Prepares the database of a home: ownership, schema migrations, catalog rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import select

from db.migrate import UnknownSchema, is_current, newest, upgrade
from db.models import Home, Model
from db.session import is_missing, reading, writing
from engine.catalog.models import CatalogModel, catalog
from engine.common.database_url import database_label, missing_database_message, require_usable
from engine.config import PRIVATE_FILE, settings
from engine.errors import DatabaseUnusable, InvalidRequest
from engine.hosts import home, ownership

LOCK_TIMEOUT_S = 60.0


def prepare_database() -> str:
    """Migrates the database, writes the catalog rows and returns its URL; safe to repeat.

    An up-to-date database is only read. Raises HomeUnusable, and DatabaseUnusable when another
    home owns the database, when it was deleted, or when it is not one of the workbench.
    """
    url = settings().url
    require_usable(url)
    home.prepare()
    if not _is_ready(url):
        with _migration_lock():
            _require_not_deleted(url)
            _bring_up_to_date(url)
    return url


def take_over() -> Home | None:
    """Makes this home the owner of the configured database; returns the previous owner or None.

    Raises DatabaseUnusable while a job of the other home runs, or if the database is missing.
    """
    url = settings().url
    require_usable(url)
    home.prepare()
    with _migration_lock():
        _require_not_deleted(url)
        if not _is_current(url):
            upgrade(url, settings().home)
        previous_owner = ownership.take_over(url)
        _bring_up_to_date(url)
    return previous_owner


def create_new_database() -> str:
    """Creates an empty database after one was deleted; returns its URL.

    Raises InvalidRequest if the database exists.
    """
    url = settings().url
    require_usable(url)
    home.prepare()
    if not is_missing(url):
        raise InvalidRequest(f"{database_label(url)} exists already; nothing was changed.")
    identity = home.load()
    if identity is not None:
        home.save(identity.without_database(home.name_of(url)))
    return prepare_database()


def _is_ready(url: str) -> bool:
    identity = home.load()
    if identity is None or home.name_of(url) not in identity.databases or not _is_current(url):
        return False
    with reading(url) as session:
        owner = session.get(Home, 1)
        stored = {row.id: row for row in session.scalars(select(Model))}
    moved = owner is not None and owner.folder != str(settings().home)
    if owner is None or (moved and not ownership.is_shared(url)):
        return False
    ownership.refuse_foreign(owner, identity, url)
    return all(_is_stored(model, stored.get(model.id)) for model in catalog().values())


def _require_not_deleted(url: str) -> None:
    identity = home.load()
    if identity is not None and home.name_of(url) in identity.databases and is_missing(url):
        raise DatabaseUnusable(missing_database_message(url))


def _bring_up_to_date(url: str) -> None:
    if not _is_current(url):
        # Checked before the migration, so that another home's database is never migrated.
        ownership.refuse_foreign(ownership.owner_of(url), home.load(), url)
        upgrade(url, settings().home)
    owner = ownership.owner_of(url)
    ownership.refuse_foreign(owner, home.load(), url)
    ownership.claim(ownership.identity_for(owner, url), url)
    with writing(url) as session:
        for model in catalog().values():
            session.merge(Model(**_columns(model)))


def _is_current(url: str) -> bool:
    try:
        return is_current(url)
    except UnknownSchema as error:
        if error.revision is None:
            raise DatabaseUnusable(
                f"{database_label(url)} holds tables of another program. Set DATABASE_URL or "
                f"SENET_HOME to another location."
            ) from error
        raise DatabaseUnusable(
            f"{database_label(url)} was written by a newer version of the workbench (schema "
            f"{error.revision}; this version supports up to {newest()}). Update the workbench, or "
            f"use another database (SENET_HOME or DATABASE_URL)."
        ) from error


@contextmanager
def _migration_lock() -> Iterator[None]:
    """Lets one process at a time prepare the database of this home."""
    lock = settings().home / "migrate.lock"
    try:
        with FileLock(lock, LOCK_TIMEOUT_S, mode=PRIVATE_FILE):
            yield
    except Timeout as error:
        raise DatabaseUnusable(
            f"Another process has been preparing the database for over {LOCK_TIMEOUT_S:.0f} s and "
            f"holds {lock}. Wait for it, or stop it."
        ) from error


def record_model(model: CatalogModel, url: str, **figures: Any) -> None:
    """Writes a model's row; `figures` are computed (compute_gmacs, params_m, preprocess)."""
    with writing(url) as session:
        session.merge(Model(**_columns(model), **figures))


def _columns(model: CatalogModel) -> dict[str, Any]:
    columns = asdict(model)
    preprocess = columns.pop("preprocess")
    if preprocess is not None and model.preprocess is not None:
        columns["preprocess"] = model.preprocess.to_dict()
    return {"id": model.id, **columns}


def _is_stored(model: CatalogModel, row: Model | None) -> bool:
    return row is not None and all(
        _plain(getattr(row, name)) == _plain(value) for name, value in _columns(model).items()
    )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value)) if isinstance(value, dict) else value


if __name__ == "__main__":
    from engine.common.error_sentences import errors_as_sentences

    with errors_as_sentences():
        prepare_database()
    sys.exit()
