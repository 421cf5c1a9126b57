"""The artifact store: immutable file sets, each in a folder named by its content digest.

`<home>/artifacts/<digest>/` holds the files and `manifest.json` (how they were made, without times
and local paths). A folder is renamed into place when it is complete. With a shared store it is
uploaded before it is recorded, and fetched where it is absent.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from db.enums import ArtifactKind, Precision, WeightsKind
from db.models import Artifact, Weights
from db.session import reading, writing
from engine.common.digests import data_digest, file_digest
from engine.common.files import write_text
from engine.config import settings
from engine.errors import ArtifactMissing, StoreDamaged
from engine.preprocess import PreprocessSpec
from engine.store import cache, shared
from engine.text import quoted

if TYPE_CHECKING:
    from engine.store.manifest import ExportManifest

MODEL_FILE = "model.onnx"
TORCHSCRIPT_FILE = "model.pt"
MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.json"
IMAGES_FILE = "images.json"
FACTORS_FILE = "channel_factors.npz"
_DIGEST = re.compile("[0-9a-f]{0,64}")
_METADATA_FILES = (MANIFEST_FILE, REPORT_FILE, IMAGES_FILE, FACTORS_FILE)


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """The properties of an artifact that is to be stored; `manifest`: how it was made."""

    recipe: str
    kind: ArtifactKind
    model_id: str
    weights_digest: str
    weights_kind: WeightsKind
    precision: Precision
    manifest: ExportManifest
    parent_digest: str | None = None
    format: str = "onnx"
    weights_origin: str | None = None


def store(folder: Path, new: NewArtifact, url: str) -> Artifact:
    """Moves a finished folder into the store and records it; an equal artifact is not replaced."""
    document = {
        "kind": new.kind,
        "model_id": new.model_id,
        "weights": {
            "digest": new.weights_digest,
            "kind": new.weights_kind,
            "origin": new.weights_origin,
        },
        "format": new.format,
        "precision": new.precision,
        "parent": new.parent_digest,
        "recipe": new.recipe,
        **new.manifest.dump(),
    }
    write_text(folder / MANIFEST_FILE, json.dumps(document, indent=1, sort_keys=True))
    files = sorted(path for path in folder.iterdir() if path.is_file())
    digest = data_digest({path.name: file_digest(path) for path in files})
    size = sum(path.stat().st_size for path in files if path.name not in _METADATA_FILES)
    target = settings().folder("artifacts") / digest
    if not target.exists():
        _flush(files)
        folder.rename(target)
    shared.publish_artifact(target)
    row = Artifact(
        digest=digest,
        recipe=new.recipe,
        kind=new.kind,
        model_id=new.model_id,
        weights_digest=new.weights_digest,
        weights_kind=new.weights_kind,
        parent_digest=new.parent_digest,
        format=new.format,
        precision=new.precision,
        size_bytes=size,
        manifest=document,
    )
    with writing(url) as session:
        return session.merge(row)


def _flush(files: list[Path]) -> None:
    # The bytes must reach the disk before the rename does.
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def find_by_recipe(recipe: str, url: str) -> Artifact | None:
    """The newest stored artifact of a recipe whose files exist here or in the store, else None.

    One that is damaged in the store is reported, and counts as absent.
    """
    statement = (
        select(Artifact).where(Artifact.recipe == recipe).order_by(Artifact.created_at.desc())
    )
    with reading(url) as session:
        rows = session.scalars(statement).all()
    return next((row for row in rows if _is_usable(row.digest)), None)


def _is_usable(digest: str) -> bool:
    try:
        return folder_of(digest).is_dir()
    except StoreDamaged as error:
        shared.report(str(error))
        return False


def find_by_digest(prefix: str, url: str) -> Artifact:
    """The artifact whose digest starts with `prefix`; ArtifactMissing if none or several do."""
    statement = select(Artifact).where(Artifact.digest.startswith(prefix)).limit(2)
    with reading(url) as session:
        rows = session.scalars(statement).all() if _DIGEST.fullmatch(prefix) else []
    if len(rows) != 1:
        problem = "More than one artifact starts" if rows else "No artifact starts"
        raise ArtifactMissing(f"{problem} with {quoted(prefix)}: `artifacts list` shows all.")
    return rows[0]


def folder_of(digest: str) -> Path:
    """The folder of the files of an artifact, fetched from the store where it is absent.

    Raises StoreDamaged and StoreUnavailable.
    """
    folder = settings().home / "artifacts" / digest
    absent = not folder.is_dir()
    if shared.fetch_artifact(folder) and absent:
        cache.trim(settings().url)
    return folder


def is_stored(digest: str) -> bool:
    """Whether the files of an artifact are here or in the store; they are not fetched."""
    return shared.has_artifact(settings().home / "artifacts" / digest)


def model_path(digest: str) -> Path:
    """The ONNX file of an artifact. Raises ArtifactMissing where there is none."""
    path = folder_of(digest) / MODEL_FILE
    if (path.parent / TORCHSCRIPT_FILE).is_file():
        raise ArtifactMissing(
            f"Artifact {digest[:12]} is TorchScript and cannot run here: use an ONNX export."
        )
    if not path.is_file():
        raise ArtifactMissing(
            f"The files of artifact {digest[:12]} are missing at {path.parent}: build it again."
        )
    return path


def preprocess_of(artifact: Artifact) -> PreprocessSpec:
    """The preprocessing of an artifact. Raises ArtifactMissing where it is not in the manifest."""
    from engine.store.manifest import ExportManifest

    plain = ExportManifest.from_artifact(artifact).preprocess
    if not plain:
        raise ArtifactMissing(
            f"The manifest of artifact {artifact.digest[:12]} has no preprocessing: build it again."
        )
    return PreprocessSpec.from_dict(plain)


def record_weights(weights: Weights, url: str) -> None:
    """Records weights unless they are recorded already."""
    with writing(url) as session:
        if session.get(Weights, weights.digest) is None:
            session.add(weights)
