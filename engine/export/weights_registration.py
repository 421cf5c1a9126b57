"""Registers a local file as a model's pretrained weights, after reading it into the model."""

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

# Beside a .pdiparams: the files that name its tensors.
COMPANIONS = (".pdmodel", ".json", ".pdiparams.info")


def register(
    file: Path,
    model: CatalogModel,
    url: str,
    key: str | None = None,
    say: Callable[[str], None] = lambda remark: None,
) -> WeightsFile:
    """Checks that a file holds the model's weights, and keeps a copy as its pretrained ones.

    `key` names one of several sets in it; what was assumed is told to `say`. Loads the file into
    the model's module, so it imports torch. Raises CheckpointRejected naming the row that the file
    belongs to where it is another, or for a head of other classes, which no published weights
    have; InvalidRequest for a model without weights of its own.
    """
    if model.source not in SOURCES:
        raise InvalidRequest(
            f"{model.id} takes no registered weights: only models of {', '.join(SOURCES)} do. An "
            f"ONNX file is given to the export itself, with --weights FILE."
        )
    path = expand_user(file).resolve()
    if not is_file(path):
        raise CheckpointRejected(f"There is no file {file}.")
    given = WeightsFile(path, f"registered by hand: {path.name}", file_digest(path), key)
    loaded = load_weights(model, given)
    if loaded.classes is not None:
        raise CheckpointRejected(
            f"{path.name} classifies {loaded.classes:,} classes, so it is not what {model.id} is "
            f"published with; give it to the run itself, with --weights {file}."
        )
    for remark in loaded.remarks:
        say(remark)
    kept = _keep(given, model)
    weights = Weights(
        digest=kept.identity,
        model_id=model.id,
        kind=WeightsKind.PRETRAINED,
        origin=kept.origin,
        size_bytes=kept.path.stat().st_size,
    )
    record_model(model, url)
    artifacts.record_weights(weights, url)
    return kept


def _keep(given: WeightsFile, model: CatalogModel) -> WeightsFile:
    home = folder_of(model)
    home.mkdir(parents=True, exist_ok=True)
    staging = home / f"{uuid4().hex}.part"
    staging.mkdir()
    try:
        with disk_full_as_error(home):
            for source in (given.path, *_companions(given.path)):
                shutil.copyfile(source, staging / source.name)
        if file_digest(staging / given.path.name) != given.digest:
            raise CheckpointRejected(f"{given.path} changed while it was read; try again.")
        target = home / given.digest
        if not target.exists():
            staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    about = {"model": model.id, "file": given.path.name, "sha256": given.digest}
    about |= {} if given.key is None else {"key": given.key}
    write_text(home / ABOUT_FILE, json.dumps(about, indent=1))
    _forget_others(home, given.digest)
    return replace(given, path=target / given.path.name)


def _companions(path: Path) -> list[Path]:
    if path.suffix != ".pdiparams":
        return []
    return [other for s in COMPANIONS if (other := path.with_suffix(s)).is_file()]


def _forget_others(home: Path, digest: str) -> None:
    for folder in home.iterdir():
        if folder.is_dir() and folder.name != digest:
            shutil.rmtree(folder, ignore_errors=True)
