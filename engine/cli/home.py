"""`home`: show, take-over, new-database."""

from __future__ import annotations

import typer

from engine.cli.options import Json
from engine.cli.output import emit_json, note, out
from engine.common.database_url import database_label
from engine.config import settings
from engine.hosts import home
from engine.hosts.ownership import owner_of
from engine.store.database import create_new_database, prepare_database, take_over

app = typer.Typer(no_args_is_help=True)


@app.command("show")
def show(json: Json = False) -> None:
    """Shows which folder and which database this is.

    Example: `python -m engine home show`
    """
    url = prepare_database()
    known, owner = home.load(), owner_of(url)
    assert known is not None
    facts = {
        "folder": str(settings().home),
        "identity": known.identity,
        "database": home.name_of(url),
        "on machine": owner.host if owner else None,
    }
    if json:
        emit_json(facts)
        return
    for name, value in facts.items():
        out.print(f"{name:>12}  {value}", markup=False)


@app.command("take-over")
def take_over_database(json: Json = False) -> None:
    """Makes the database this home's own, where it is that of a home that is given up.

    Results stay; artifacts and images that lie in the other home do not come along.

    Example: `python -m engine home take-over`
    """
    before = take_over()
    url = settings().url
    if json:
        emit_json({"home": str(settings().home), "before": before.folder if before else None})
    elif before is None:
        note(f"{database_label(url)} is this home's; it was nobody else's.")
    else:
        note(f"{database_label(url)} is this home's now; it was that of {before.folder}.")


@app.command("new-database")
def new_database(json: Json = False) -> None:
    """Begins with an empty database where the one of before was deleted.

    Example: `python -m engine home new-database`
    """
    url = create_new_database()
    emit_json({"database": home.name_of(url)}) if json else note(
        f"{database_label(url)} is new, and empty."
    )
