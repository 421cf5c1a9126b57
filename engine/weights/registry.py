"""Weights registered by hand: a local file that stands in for a model's pretrained weights.

`<home>/weights/<source>/registered/<name>/` holds `registration.json` and, in a folder named by
the file's digest, a copy of the file and of what lies beside it to name its tensors. The small
file is replaced last, in one step: a registration is there whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from engine.catalog.models import CatalogModel, find_model
from engine.common.digests import file_digest
from engine.config import settings
from engine.errors import CheckpointRejected, InvalidRequest
from engine.weights.cache import WeightsFile

SOURCES = ("timm", "mmcls", "ppcls")
ABOUT_FILE = "registration.json"
FOLDER = "registered"


def find_registered(model: CatalogModel) -> WeightsFile | None:
    """The file registered for a model, not yet checked against its digest; None without one."""
    # A name given by hand may hold anything; a model's own never holds a path.
    if model.source not in SOURCES or Path(model.name).name != model.name:
        return None
    try:
        about = json.loads((folder_of(model) / ABOUT_FILE).read_text())
    except FileNotFoundError:
        return None
    path = folder_of(model) / about["sha256"] / Path(about["file"]).name
    return WeightsFile(path, f"registered by hand: {path.name}", about["sha256"], about.get("key"))


def checked(found: WeightsFile, model: CatalogModel, expected: str | None) -> WeightsFile:
    """The registered file, if it is what was registered and, where given, what was asked for.

    Raises CheckpointRejected with the way out.
    """
    again = f"`weights add FILE --model {model.id}` registers it again."
    if expected is not None and expected != found.digest:
        raise CheckpointRejected(
            f"Other weights of {model.id} were registered since this was asked for; queue the run "
            f"again to use them."
        )
    if not found.path.is_file():
        raise CheckpointRejected(f"The registered file {found.path} is gone; {again}")
    if file_digest(found.path) != found.digest:
        raise CheckpointRejected(f"The registered file {found.path} has changed; {again}")
    return found


def forget(model: CatalogModel) -> None:
    """Ends a registration, so that `pretrained` means the published weights again."""
    if find_registered(model) is None:
        raise InvalidRequest(f"No weights are registered for {model.id}.")
    (folder_of(model) / ABOUT_FILE).unlink()
    shutil.rmtree(folder_of(model), ignore_errors=True)


def all_registered() -> Iterator[tuple[str, WeightsFile]]:
    """(model id, file) of every registration."""
    for source in SOURCES:
        for about in sorted(
            (settings().home / "weights" / source / FOLDER).glob(f"*/{ABOUT_FILE}")
        ):
            model = find_model(f"{source}/{about.parent.name}")
            found = find_registered(model)
            if found is not None:
                yield model.id, found


def folder_of(model: CatalogModel) -> Path:
    """Where a model's registration is kept."""
    return settings().home / "weights" / model.source / FOLDER / model.name
