"""`artifacts`: list, clean."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from engine.cli.options import Json
from engine.cli.output import emit_json, emit_table, note
from engine.database import prepare_database
from engine.housekeeping import Stored, clean, stored

app = typer.Typer(help="What the artifact store holds, and what may go.", no_args_is_help=True)


@app.command("list")
def list_artifacts(json: Json = False) -> None:
    """Lists every artifact with its bytes on disk and what rests on it.

    Example: `python -m engine artifacts list`
    """
    found = stored(prepare_database())
    if json:
        emit_json([_describe(one) for one in found])
        return
    _table("Artifacts", found)
    free = sum(one.bytes_on_disk for one in found if one.removable)
    note(f"{len(found)} artifacts; `artifacts clean` would free {free / 1e6:,.1f} MB.")


@app.command("clean")
def clean_artifacts(
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; else only say which.")] = False,
    json: Json = False,
) -> None:
    """Removes artifacts that no measurement rests on, or says which they are.

    Example: `python -m engine artifacts clean --yes`
    """
    url = prepare_database()
    gone = clean(url) if yes else [one for one in stored(url) if one.removable]
    if json:
        emit_json({"removed": yes, "artifacts": [_describe(one) for one in gone]})
        return
    if gone:
        _table("Removed" if yes else "To be removed", gone)
    size = sum(one.bytes_on_disk for one in gone) / 1e6
    done = "removed" if yes else "would be removed; `artifacts clean --yes` removes them"
    note(f"{len(gone)} artifacts of {size:,.1f} MB {done}.")


def _describe(one: Stored) -> dict[str, object]:
    return {**asdict(one), "removable": one.removable}


def _table(title: str, found: list[Stored]) -> None:
    emit_table(
        title,
        ("artifact", "model", "precision", "kind", "MB", "used by"),
        [
            (
                one.digest[:12],
                one.model_id,
                one.precision,
                one.kind,
                one.bytes_on_disk / 1e6,
                ", ".join(one.used_by) or "nothing",
            )
            for one in found
        ],
    )
