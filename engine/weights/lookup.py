"""Finds the weights of a model: pretrained (downloaded or registered), a file, or random."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from db.enums import WeightsKind
from engine.catalog.models import CatalogModel, catalog
from engine.common.digests import file_digest
from engine.common.files import is_file
from engine.config import REPOSITORY, settings
from engine.errors import CheckpointRejected, WeightsUnavailable
from engine.specs import WeightsSpec
from engine.store.shared import fetch, publish
from engine.weights.cache import NOTE_SUFFIX, WeightsFile, checked_digest
from engine.weights.download import Progress, download
from engine.weights.registry import find_registered, verify

if TYPE_CHECKING:
    from torch import nn

HUB = "https://huggingface.co"
DEMO_WEIGHTS = REPOSITORY / "engine" / "demo" / "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Remote:
    """The URL of pretrained weights, and their path in the cache."""

    url: str
    target: Path


def remote_of(model: CatalogModel) -> Remote:
    """URL and cache path of a model's pretrained weights. Raises WeightsUnavailable if none exist.

    The catalog gives timm's exact tag, because the default tag of some names is now another set of
    weights than that of the published figures; other timm names use the default tag.
    """
    reference = model.weights_ref or (_timm_default(model) if model.source == "timm" else None)
    if reference is None:
        raise WeightsUnavailable(
            f"{model.id} has no published weights; give a weights file, or use random weights."
        )
    folder = settings().home / "weights" / model.source
    if reference.startswith("https://"):
        return Remote(reference, folder / reference.rsplit("/", 1)[-1])
    name = reference.rsplit("/", 1)[-1]
    url = f"{HUB}/{reference}/resolve/main/model.safetensors"
    return Remote(url, folder / f"{name}.safetensors")


def _timm_default(model: CatalogModel) -> str | None:
    from timm.models import get_pretrained_cfg

    configuration = get_pretrained_cfg(model.architecture, allow_unregistered=False)
    return configuration.hf_hub_id if configuration and configuration.hf_hub_id else None


def find_weights(model: CatalogModel, spec: WeightsSpec, progress: Progress) -> WeightsFile | None:
    """The weights file of a spec; None for random weights.

    Raises WeightsUnavailable (with URL and path for a manual download) and CheckpointRejected
    (a file that is missing or has changed).
    """
    return _FINDERS[spec.kind](model, spec, progress)


def _pretrained(model: CatalogModel, spec: WeightsSpec, progress: Progress) -> WeightsFile:
    if model.source == "demo":
        return WeightsFile(
            DEMO_WEIGHTS, "trained by engine/demo/train.py", file_digest(DEMO_WEIGHTS)
        )
    registered = find_registered(model)
    if registered is not None:
        return replace(verify(registered, model, spec.sha256), key=spec.key or registered.key)
    remote = remote_of(model)
    path = download(remote.url, remote.target, progress)
    return WeightsFile(path, remote.url, checked_digest(path), spec.key)


def _file(model: CatalogModel, spec: WeightsSpec, progress: Progress) -> WeightsFile:
    path = Path(spec.path or "")
    if not is_file(path):
        path = _from_store(path, spec.sha256)
    digest = file_digest(path)
    if spec.sha256 is not None and digest != spec.sha256:
        raise CheckpointRejected(
            f"{path} has changed since it was chosen: its SHA-256 was {spec.sha256[:12]} and is "
            f"now {digest[:12]}. Submit the run again to use the file as it is."
        )
    return WeightsFile(path, f"file {path.name}", digest, spec.key)


def share_file(spec: WeightsSpec) -> None:
    """Uploads the weights file of a request to the shared store, for machines without it."""
    if spec.kind == WeightsKind.FILE and spec.path and spec.sha256:
        path = Path(spec.path)
        publish(path, _stored_name(path, spec.sha256))


def _from_store(path: Path, digest: str | None) -> Path:
    """The file of another machine, by its digest. Raises CheckpointRejected where there is none."""
    if digest is not None:
        there = settings().home / "weights" / "files" / digest / path.name
        if fetch(there, _stored_name(path, digest)):
            return there
    raise CheckpointRejected(f"There is no weights file {path}.")


def _stored_name(path: Path, digest: str) -> str:
    return f"weights/{digest}/{path.name}"


def _random(model: CatalogModel, spec: WeightsSpec, progress: Progress) -> None:
    return None


_FINDERS: dict[WeightsKind, Callable[[CatalogModel, WeightsSpec, Progress], WeightsFile | None]] = {
    WeightsKind.PRETRAINED: _pretrained,
    WeightsKind.FILE: _file,
    WeightsKind.RANDOM: _random,
}


def all_downloaded() -> Iterator[tuple[str, Path]]:
    """(model id, path) of every cached file of published weights, downloaded or copied manually."""
    ids: dict[Path, str] = {remote_of(m).target: m.id for m in catalog().values()}
    for path in sorted((settings().home / "weights").glob("*/*")):
        if path.is_file() and path.suffix not in (NOTE_SUFFIX, ".part"):
            yield ids.get(path, f"{path.parent.name}/{path.stem}"), path


def module_digest(module: nn.Module) -> str:
    """SHA-256 of a module's tensors, sorted by name; identifies random weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
