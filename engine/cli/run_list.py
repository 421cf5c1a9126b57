"""Command `runs`: the runs with their state, progress and best result."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from engine.cli.options import Json, RowLimit
from engine.cli.output import emit_json, emit_table
from engine.runs.overview import list_runs
from engine.store.database import prepare_database

HEADERS = ("run", "state", "title", "done", "best result", "tags")


def runs(
    search: Annotated[
        str,
        typer.Option(
            help="Only runs with all of these words in title, models, tags, notes or state."
        ),
    ] = "",
    limit: RowLimit = 30,
    json: Json = False,
) -> None:
    """Lists the newest runs with their state, progress and best result.

    Example: `python -m engine runs --search "seresnet50 failed"`
    """
    found = list_runs(prepare_database(), search, limit)
    if json:
        emit_json([dataclasses.asdict(run) for run in found])
        return
    rows = [
        (r.id, r.state, r.title, f"{r.done}/{r.jobs}", r.best_result, ", ".join(r.tags))
        for r in found
    ]
    emit_table("Runs", HEADERS, rows)
