"""Brings the workbench's database up to date: schema, then catalogue rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from filelock import FileLock

from db.migrate import upgrade
from db.session import writing
from db.tables import Model
from engine.catalog import CatalogModel, catalogue
from engine.config import settings


def prepare_database() -> str:
    """Migrates the database and writes the catalogue into it; returns its URL. Safe to repeat."""
    url = settings().url
    settings().home.mkdir(parents=True, exist_ok=True)
    with FileLock(settings().home / "migrate.lock"):
        upgrade(url)
        with writing(url) as session:
            for model in catalogue().values():
                session.merge(Model(**_columns(model)))
    return url


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


if __name__ == "__main__":
    prepare_database()
