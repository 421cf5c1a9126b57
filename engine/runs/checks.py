"""What looks at a request before it is queued, and says in sentences what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from db.tables import Dataset
from engine.catalog import CatalogModel
from engine.runs.requests import RunRequest

Datasets = dict[str, Dataset]
"""The registered datasets by name."""

Check = Callable[[RunRequest, CatalogModel, Datasets], Iterator[str]]
