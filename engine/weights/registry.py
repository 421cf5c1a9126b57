"""Registered weights: a local file that replaces a model's pretrained weights.

`<home>/weights/<source>/registered/<name>/` contains `registration.json` and, in a folder named by
the digest, a copy of the file with its companion files (parameter names). The JSON file is
replaced last, atomically, so a registration is always complete.
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
    """The file registered for a model, its digest not verified yet; None if there is none."""
    # A user's model name may contain anything; it must not lead out of the folder.
    if model.source not in SOURCES or Path(model.name).name != model.name:
        return None
    try:
        about = json.loads((folder_of(model) / ABOUT_FILE).read_text())
    except FileNotFoundError:
        return None
    path = folder_of(model) / about["sha256"] / Path(about["file"]).name
    return WeightsFile(path, f"registered by hand: {path.name}", about["sha256"], about.get("key"))


def verify(registered: WeightsFile, model: CatalogModel, expected: str | None) -> WeightsFile:
    """Returns the registered file if its content has the registered, and the `expected`, digest.

    Raises CheckpointRejected, with the way out, if not.
    """
    again = f"register it again with `weights add FILE --model {model.id}`."
    if expected is not None and expected != registered.digest:
        raise CheckpointRejected(
            f"Other weights of {model.id} were registered after this run was submitted; submit it "
            f"again to use them."
        )
    if not registered.path.is_file():
        raise CheckpointRejected(f"The registered file {registered.path} is missing; {again}")
    if file_digest(registered.path) != registered.digest:
        raise CheckpointRejected(f"The registered file {registered.path} has changed; {again}")
    return registered


def remove_registration(model: CatalogModel) -> None:
    """Removes a registration, so that `pretrained` means the published weights again."""
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
            registered = find_registered(model)
            if registered is not None:
                yield model.id, registered


def folder_of(model: CatalogModel) -> Path:
    """The folder of a model's registration."""
    return settings().home / "weights" / model.source / FOLDER / model.name
