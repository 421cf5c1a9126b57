"""Brings the workbench's database up to date: whose it is, its schema, its catalog rows."""

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
from engine.common.database_url import gone, require_usable, told
from engine.config import PRIVATE_FILE, settings
from engine.errors import DatabaseUnusable, InvalidRequest
from engine.hosts import home, ownership

PATIENCE_S = 60.0


def prepare_database() -> str:
    """Migrates the database and writes the catalog into it; returns its URL. Safe to repeat.

    A database that is up to date is only read. Raises HomeUnusable, and DatabaseUnusable when the
    database is another home's, was deleted, or cannot be one of the workbench.
    """
    url = settings().url
    require_usable(url)
    home.prepare()
    if not _is_ready(url):
        with _alone():
            _require_not_deleted(url)
            _bring_up_to_date(url)
    return url


def take_over() -> Home | None:
    """Makes the database of the settings this home's own; whose it was, None if nobody else's.

    Raises DatabaseUnusable while a job of the other home runs, or where it is gone.
    """
    url = settings().url
    require_usable(url)
    home.prepare()
    with _alone():
        _require_not_deleted(url)
        if not _is_current(url):
            upgrade(url, settings().home)
        before = ownership.take_over(url)
        _bring_up_to_date(url)
    return before


def begin_anew() -> str:
    """An empty database where one was deleted; its URL. Raises InvalidRequest if it is there."""
    url = settings().url
    require_usable(url)
    home.prepare()
    if not is_missing(url):
        raise InvalidRequest(f"{told(url)} is there: nothing was done.")
    known = home.load()
    if known is not None:
        home.save(known.without_database(home.name_of(url)))
    return prepare_database()


def _is_ready(url: str) -> bool:
    known = home.load()
    if known is None or home.name_of(url) not in known.databases or not _is_current(url):
        return False
    with reading(url) as session:
        owner = session.get(Home, 1)
        stored = {row.id: row for row in session.scalars(select(Model))}
    if owner is None or owner.folder != str(settings().home):
        return False
    ownership.refuse_foreign(owner, known, url)
    return all(_is_written(model, stored.get(model.id)) for model in catalog().values())


def _require_not_deleted(url: str) -> None:
    known = home.load()
    if known is not None and home.name_of(url) in known.databases and is_missing(url):
        raise DatabaseUnusable(gone(url))


def _bring_up_to_date(url: str) -> None:
    if not _is_current(url):
        # Before anything is written: a newer version must not change what is another home's.
        ownership.refuse_foreign(ownership.owner_of(url), home.load(), url)
        upgrade(url, settings().home)
    owner = ownership.owner_of(url)
    ownership.refuse_foreign(owner, home.load(), url)
    ownership.claim(ownership.known_to(owner, url), url)
    with writing(url) as session:
        for model in catalog().values():
            session.merge(Model(**_columns(model)))


def _is_current(url: str) -> bool:
    try:
        return is_current(url)
    except UnknownSchema as error:
        if error.revision is None:
            raise DatabaseUnusable(
                f"{told(url)} holds tables of something else. Set DATABASE_URL or SENET_HOME to "
                f"another place."
            ) from error
        raise DatabaseUnusable(
            f"{told(url)} was written by a newer version of the workbench (schema "
            f"{error.revision}; this one knows up to {newest()}). Run that version here, too; or "
            f"give this one a database of its own (SENET_HOME or DATABASE_URL)."
        ) from error


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time prepares the database of this home."""
    lock = settings().home / "migrate.lock"
    try:
        with FileLock(lock, PATIENCE_S, mode=PRIVATE_FILE):
            yield
    except Timeout as error:
        raise DatabaseUnusable(
            f"Another process has been preparing the database for over {PATIENCE_S:.0f} s; it "
            f"holds {lock}. Wait for it, or end it."
        ) from error


def record_model(model: CatalogModel, url: str, **figures: Any) -> None:
    """Writes a model's row; `figures` are computed ones (compute_gmacs, params_m, preprocess)."""
    with writing(url) as session:
        session.merge(Model(**_columns(model), **figures))


def _columns(model: CatalogModel) -> dict[str, Any]:
    columns = asdict(model)
    preprocess = columns.pop("preprocess")
    if preprocess is not None and model.preprocess is not None:
        columns["preprocess"] = model.preprocess.to_dict()
    return {"id": model.id, **columns}


def _is_written(model: CatalogModel, row: Model | None) -> bool:
    return row is not None and all(
        _plain(getattr(row, name)) == _plain(value) for name, value in _columns(model).items()
    )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value)) if isinstance(value, dict) else value


if __name__ == "__main__":
    from engine.common.error_sentences import speaking

    with speaking():
        prepare_database()
    sys.exit()
