"""The database of the dashboard, and the version of its data."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from db.models import Annotation, Artifact, Benchmark, Dataset, Evaluation, Job, Model
from db.session import reading
from engine.config import settings

Version = tuple[Any, ...]


def url() -> str:
    """URL of the database that this process shows."""
    return settings().url


def version() -> Version:
    """A value that changes when results may have changed: row counts and the last changes."""
    counted = [
        select(func.count()).select_from(table).scalar_subquery()
        for table in (Artifact, Benchmark, Evaluation, Dataset, Model, Job, Annotation)
    ]
    newest = [
        select(func.max(column)).scalar_subquery()
        for column in (Job.ended_at, Evaluation.id, Benchmark.id, Annotation.changed_at)
    ]
    with reading(url()) as session:
        return tuple(session.execute(select(*counted, *newest)).one())
