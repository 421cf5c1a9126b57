"""`runs`: lists the runs with their state, progress and best result; names them."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from engine.cli import options as o
from engine.cli.output import emit_json, emit_table, note
from engine.runs.describe import describe_run
from engine.runs.overview import list_runs
from engine.store.database import prepare_database

app = typer.Typer(no_args_is_help=True)
HEADERS = ("run", "state", "title", "done", "best result", "tags")
RunId = Annotated[
    int,
    typer.Argument(
        parser=o.row_id_parser("run", "`runs list` shows them"),
        metavar="NUMBER",
        help="Number of the run, as `runs list` shows it.",
    ),
]


@app.command("list")
def show_runs(
    search: Annotated[
        str,
        typer.Option(
            help="Only runs with all of these words in title, models, tags, notes or state."
        ),
    ] = "",
    limit: o.RowLimit = 30,
    json: o.Json = False,
) -> None:
    """Lists the newest runs with their state, progress and best result.

    Example: `python -m engine runs list --search "seresnet50 failed"`
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


@app.command("describe")
def describe(
    run: RunId,
    name: o.RunName = None,
    notes: o.RunNotes = None,
    tag: o.RunTags = None,
    json: o.Json = False,
) -> None:
    """Replaces name, notes and tags of a run; what is not given is removed.

    Example: `python -m engine runs describe 7 --name "First of May" --tag speed`
    """
    describe_run(run, name, notes, tag or (), prepare_database())
    if json:
        emit_json({"run": run, "name": name, "notes": notes, "tags": tag or []})
    else:
        note(f"Run {run} is described anew.")
