"""Commands `home`: show, take-over, new-database."""

from __future__ import annotations

import typer

from engine.cli.options import Json
from engine.cli.output import emit_json, note, out
from engine.common.database_url import database_label, location_of
from engine.config import settings
from engine.hosts import home
from engine.hosts.ownership import owner_of
from engine.store.database import create_new_database, prepare_database, take_over

app = typer.Typer(no_args_is_help=True)


@app.command("show")
def show(json: Json = False) -> None:
    """Shows the folder, identity and database of this home.

    Example: `python -m engine home show`
    """
    url = prepare_database()
    identity, owner = home.load(), owner_of(url)
    assert identity is not None
    facts = {
        "folder": str(settings().home),
        "identity": identity.identity,
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
    """Makes this home the owner of the database of another home that is no longer used.

    Results stay in the database; artifacts and images in the other home are not copied.

    Example: `python -m engine home take-over`
    """
    previous = take_over()
    url = settings().url
    if json:
        emit_json({"home": str(settings().home), "before": previous.folder if previous else None})
    elif previous is None:
        note(f"This home owns the database {location_of(url)}; no other home owned it.")
    else:
        note(
            f"This home now owns the database {location_of(url)}; the previous owner was "
            f"{previous.folder}."
        )


@app.command("new-database")
def new_database(json: Json = False) -> None:
    """Creates an empty database after the previous one was deleted.

    Example: `python -m engine home new-database`
    """
    url = create_new_database()
    emit_json({"database": home.name_of(url)}) if json else note(
        f"{database_label(url)} is created; it is empty."
    )
