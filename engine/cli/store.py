"""`store`: uploads what only this home has to the shared store."""

from __future__ import annotations

import typer

from engine.cli.options import Json
from engine.cli.output import emit_json, note
from engine.config import settings
from engine.errors import InvalidRequest
from engine.store import cache
from engine.store.database import prepare_database
from engine.store.objects import shared_store
from engine.store.shared import push_home

app = typer.Typer(no_args_is_help=True)


@app.command("push")
def push(json: Json = False) -> None:
    """Uploads the artifacts, results and datasets' indices that the shared store lacks.

    Then it makes room in this home, if its files take more than SENET_STORE_CACHE_GB.

    Example: `python -m engine store push`
    """
    url, store = prepare_database(), shared_store()
    if store is None:
        raise InvalidRequest(
            "No shared store is set: set SENET_STORE to file:///folder or s3://bucket/prefix."
        )
    done = push_home()
    removed = cache.trim(url)
    if json:
        emit_json(
            {
                "store": store.url,
                "home": str(settings().home),
                "files": done.files,
                "uploaded": done.uploaded,
                "uploaded_bytes": done.uploaded_bytes,
                "removed": [path.name for path in removed],
            }
        )
        return
    note(
        f"{done.files:,} files and artifacts, {done.uploaded:,} uploaded to {store.url} "
        f"({done.uploaded_bytes / 1e6:,.1f} MB); {len(removed):,} removed here to make room."
    )
