"""Registers a local file as the pretrained weights of a model, after loading it into the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from db.enums import WeightsKind
from db.models import Weights
from engine.catalog.models import CatalogModel
from engine.common.digests import file_digest
from engine.common.files import disk_full_as_error, expand_user, is_file, write_text
from engine.errors import CheckpointRejected, InvalidRequest
from engine.export.loaded_model import load_weights
from engine.store import artifacts
from engine.store.database import record_model
from engine.weights.cache import WeightsFile
from engine.weights.registry import ABOUT_FILE, SOURCES, folder_of

# Files next to a .pdiparams that name its tensors.
COMPANIONS = (".pdmodel", ".json", ".pdiparams.info")


def register(
    file: Path,
    model: CatalogModel,
    url: str,
    key: str | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> WeightsFile:
    """Checks that a file has the weights of a model, and stores a copy as its pretrained weights.

    `key`: one of several sets of weights in the file; `say` gets what was assumed. Loads the file
    into the torch module. Raises CheckpointRejected where the file belongs to another catalog row
    (which the error names) or has another number of classes; InvalidRequest for a model that takes
    no registered weights.
    """
    if model.source not in SOURCES:
        raise InvalidRequest(
            f"{model.id} takes no registered weights, only models of {', '.join(SOURCES)} do: use "
            f"an ONNX file in the run, with --weights FILE."
        )
    path = expand_user(file).resolve()
    if not is_file(path):
        raise CheckpointRejected(f"There is no file {file}.")
    source_file = WeightsFile(path, f"registered by hand: {path.name}", file_digest(path), key)
    loaded = load_weights(model, source_file)
    if loaded.classes is not None:
        raise CheckpointRejected(
            f"{path.name} has {loaded.classes:,} classes, unlike the published weights of "
            f"{model.id}: use it in a run, with --weights {file}."
        )
    for remark in loaded.remarks:
        say(remark)
    stored = _copy_file(source_file, model)
    weights = Weights(
        digest=stored.identity,
        model_id=model.id,
        kind=WeightsKind.PRETRAINED,
        origin=stored.origin,
        size_bytes=stored.path.stat().st_size,
    )
    record_model(model, url)
    artifacts.record_weights(weights, url)
    return stored


def _copy_file(source_file: WeightsFile, model: CatalogModel) -> WeightsFile:
    home = folder_of(model)
    home.mkdir(parents=True, exist_ok=True)
    staging = home / f"{uuid4().hex}.part"
    staging.mkdir()
    try:
        with disk_full_as_error(home):
            for source in (source_file.path, *_companions(source_file.path)):
                shutil.copyfile(source, staging / source.name)
        if file_digest(staging / source_file.path.name) != source_file.digest:
            raise CheckpointRejected(f"{source_file.path} changed while it was read: try again.")
        target = home / source_file.digest
        if not target.exists():
            staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    metadata = {"model": model.id, "file": source_file.path.name, "sha256": source_file.digest}
    metadata |= {} if source_file.key is None else {"key": source_file.key}
    write_text(home / ABOUT_FILE, json.dumps(metadata, indent=1))
    _delete_others(home, source_file.digest)
    return replace(source_file, path=target / source_file.path.name)


def _companions(path: Path) -> list[Path]:
    if path.suffix != ".pdiparams":
        return []
    return [other for s in COMPANIONS if (other := path.with_suffix(s)).is_file()]


def _delete_others(home: Path, digest: str) -> None:
    for folder in home.iterdir():
        if folder.is_dir() and folder.name != digest:
            shutil.rmtree(folder, ignore_errors=True)
