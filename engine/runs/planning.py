"""The plan of a run: what will happen, what is missing and how to get it, what to beware of."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from db.models import Dataset
from db.session import reading
from engine.catalog.models import find_model
from engine.errors import WorkbenchError
from engine.runs.checks import Datasets
from engine.runs.problems import PROBLEMS
from engine.runs.requests import RunRequest
from engine.runs.steps import steps_of
from engine.runs.warnings import WARNINGS


@dataclass(frozen=True, slots=True)
class Plan:
    """`steps` in order; `problems` stop the run, `warnings` do not."""

    steps: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def plan(request: RunRequest, url: str) -> Plan:
    """What the run would do; computes nothing and reaches for nothing but the database."""
    try:
        model = find_model(request.model_id)
    except WorkbenchError as error:
        return Plan((), (str(error),), ())
    datasets = _datasets(url)
    problems = [p for check in PROBLEMS for p in check(request, model, datasets)]
    warnings = [w for check in WARNINGS for w in check(request, model, datasets)]
    return Plan(tuple(steps_of(request, model, datasets)), tuple(problems), tuple(warnings))


def _datasets(url: str) -> Datasets:
    with reading(url) as session:
        return {row.name: row for row in session.scalars(select(Dataset))}
