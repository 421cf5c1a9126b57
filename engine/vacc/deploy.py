"""Writes and finds deployed builds, in the folder layout of the vendor's compiler.

`<prefix>.onnx` is the build; `<prefix>.json` holds its artifact digest and preprocessing.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from db.models import Artifact
from engine.common.files import atomic_write, expand_user, is_file, write_text
from engine.common.untrusted import read_json
from engine.errors import ArtifactMissing, InvalidRequest, WorkbenchError
from engine.store import artifacts
from engine.store.manifest import ExportManifest

_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def deploy(artifact: Artifact, prefix: Path, about: dict[str, Any]) -> list[Path]:
    """Writes a build and its description under a prefix, atomically; returns the paths."""
    target, description = (
        prefix.with_name(f"{prefix.name}.{suffix}") for suffix in ("onnx", "json")
    )
    with atomic_write(target) as part:
        shutil.copyfile(artifacts.model_path(artifact.digest), part)
    facts = {
        "artifact": artifact.digest,
        "model": artifact.model_id,
        "precision": artifact.precision,
        "preprocess": ExportManifest.from_artifact(artifact).preprocess,
        **about,
    }
    write_text(description, json.dumps(facts, indent=1))
    return [target, description]


def find_deployed(model: str, url: str) -> Artifact:
    """The artifact of option `-m`: a prefix, its folder, one of its files, or a digest.

    Raises InvalidRequest for any other text, ArtifactMissing for a build of another database.
    """
    path = expand_user(model)
    description = next((place for place in _description_paths(path) if is_file(place)), None)
    if description is None:
        if _DIGEST.fullmatch(model):
            return artifacts.find_by_digest(model, url)
        raise InvalidRequest(
            f"{model} is not a build: give the prefix that `vamc compile` wrote "
            f"(deploy_weights/<name>/mod) or the digest of an artifact."
        )
    try:
        digest = str(read_json(description)["artifact"])
    except (WorkbenchError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{description} was not written by `vamc compile`; build it again."
        ) from error
    try:
        return artifacts.find_by_digest(digest, url)
    except ArtifactMissing as error:
        raise ArtifactMissing(
            f"{description} was built with another database; build it here with `vamc compile`."
        ) from error


def _description_paths(path: Path) -> list[Path]:
    same_name = path.with_name(f"{path.name}.json") if path.name else path
    return [same_name, path.with_suffix(".json"), path / "mod.json", path / f"{path.name}.json"]
