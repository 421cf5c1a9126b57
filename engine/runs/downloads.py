"""Weights that a run downloads, and what is said about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from db.enums import WeightsKind
from engine.catalog.models import find_model
from engine.errors import WorkbenchError
from engine.runs.many_models import list_models
from engine.runs.request import RunRequest
from engine.weights.lookup import Remote, remote_of
from engine.weights.registry import find_registered


@dataclass(frozen=True, slots=True)
class MissingWeights:
    """Pretrained weights of a model that are not on this machine."""

    model_id: str
    remote: Remote


def missing_weights(requests: Sequence[RunRequest]) -> list[MissingWeights]:
    """The weights of these requests of one model each that would have to be downloaded."""
    found = (_missing(request) for request in requests)
    return [missing for missing in found if missing is not None]


def _missing(request: RunRequest) -> MissingWeights | None:
    try:
        model = find_model(request.model_id)
    except WorkbenchError:  # reported as a problem
        return None
    if request.weights.kind != WeightsKind.PRETRAINED or model.weights_ref is None:
        return None
    remote = remote_of(model)
    if find_registered(model) is not None or remote.target.is_file():
        return None
    return MissingWeights(model.id, remote)


def weights_sentences(missing: Sequence[MissingWeights], offline: bool) -> tuple[str, ...]:
    """What is said about missing weights: where they come from, and how to do without network."""
    if not missing:
        return ()
    if len(missing) == 1:
        url, target = missing[0].remote.url, missing[0].remote.target
        if offline:
            return (
                f"The weights are not on this machine and cannot be downloaded (SENET_OFFLINE is "
                f"set): download {url} elsewhere and copy it to {target}.",
            )
        return (
            f"The weights will be downloaded: {url}. Without network, copy that file to {target}.",
        )
    models = f"{len(missing)} models ({list_models([one.model_id for one in missing])})"
    folders = " and ".join(dict.fromkeys(str(_folder(one)) for one in missing))
    if offline:
        return (
            f"The weights of {models} are not on this machine and cannot be downloaded "
            f"(SENET_OFFLINE is set): download them elsewhere and copy them to {folders}.",
        )
    return (
        f"The weights of {models} will be downloaded. Without network, copy the files to "
        f"{folders}.",
    )


def _folder(missing: MissingWeights) -> Path:
    return missing.remote.target.parent
