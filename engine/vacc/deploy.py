"""The folder that the vendor's compiler leaves behind: a prefix, and files that begin with it.

`<prefix>.onnx` is the build; `<prefix>.json` says which artifact it is and how images are prepared.
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
    """Writes a build under a prefix, each file whole or not at all; the paths written."""
    target, note = (prefix.with_name(f"{prefix.name}.{suffix}") for suffix in ("onnx", "json"))
    with atomic_write(target) as part:
        shutil.copyfile(artifacts.model_path(artifact.digest), part)
    facts = {
        "artifact": artifact.digest,
        "model": artifact.model_id,
        "precision": artifact.precision,
        "preprocess": ExportManifest.from_artifact(artifact).preprocess,
        **about,
    }
    write_text(note, json.dumps(facts, indent=1))
    return [target, note]


def find_deployed(model: str, url: str) -> Artifact:
    """The artifact that `-m` means: a prefix, its folder, one of its files, or a digest.

    Raises InvalidRequest for what is none of these, ArtifactMissing for a build of elsewhere.
    """
    path = expand_user(model)
    note = next((place for place in _notes(path) if is_file(place)), None)
    if note is None:
        if _DIGEST.fullmatch(model):
            return artifacts.find_by_digest(model, url)
        raise InvalidRequest(
            f"{model} is no build: give the prefix that `vamc compile` wrote "
            f"(deploy_weights/<name>/mod) or the digest of an artifact."
        )
    try:
        digest = str(read_json(note)["artifact"])
    except (WorkbenchError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{note} is not what `vamc compile` writes; build it again."
        ) from error
    try:
        return artifacts.find_by_digest(digest, url)
    except ArtifactMissing as error:
        raise ArtifactMissing(
            f"{note} was built with another database; build it here with `vamc compile`."
        ) from error


def _notes(path: Path) -> list[Path]:
    beside = path.with_name(f"{path.name}.json") if path.name else path
    return [beside, path.with_suffix(".json"), path / "mod.json", path / f"{path.name}.json"]
