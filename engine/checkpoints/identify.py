"""Identifies the catalog row of a checkpoint by its keys and shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from engine.catalog.models import catalog, find_model
from engine.checkpoints.network_shapes import Difference, compare
from engine.checkpoints.registry import RENAMING, adapter, expected_shapes
from engine.errors import CheckpointRejected

DEMO_ID = "demo/senet"
# Minimum share of the keys of a file that belong to its network.
MIN_SHARE = 0.2
MAX_PREFIX_PARTS = 12


@dataclass(frozen=True, slots=True)
class Part:
    """The tensors under a prefix (without the dot; empty: all keys) that fit a network.

    `tensors` have the network's own keys; `difference` is empty or only the number of classes.
    """

    prefix: str
    tensors: dict[str, torch.Tensor]
    difference: Difference


def identify_model(state: Mapping[str, torch.Tensor]) -> str | None:
    """Returns the catalog id that a checkpoint fits, such as `ppcls/seresnet50`, or None.

    `state` has the keys of the file, including prefixes of wrapping modules. The number of classes
    is ignored.
    """
    models = (find_model(DEMO_ID), *catalog().values())
    # Sources with their own tensor names come first: keys decide, without building a network.
    for model in sorted(models, key=lambda model: model.source not in RENAMING):
        if fitting_parts(state, model.source, model.architecture):
            return model.id
    return None


def fitting_parts(
    state: Mapping[str, torch.Tensor], source: str, architecture: str
) -> tuple[Part, ...]:
    """All parts of a state dict that are the whole network, for any number of classes.

    Wrapping modules (DataParallel, torch.compile, Lightning, timm's own) prefix the keys: any
    prefix is accepted if the rest of the keys fits.
    """
    parts = []
    for prefix in prefixes_of(state):
        try:
            adapted = adapter(source).adapt(without_prefix(state, prefix), architecture)
        except CheckpointRejected:
            continue
        difference = compare(adapted, expected_shapes(source, architecture))
        if difference.is_same_architecture():
            parts.append(Part(prefix, adapted, difference))
    return tuple(parts)


def prefixes_of(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Prefixes, up to a dot, of at least MIN_SHARE of the keys; the empty one, then by length."""
    counts: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")[:-1][:MAX_PREFIX_PARTS]
        counts.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    minimum = MIN_SHARE * len(state)
    return ["", *sorted((p for p, n in counts.items() if n >= minimum), key=len)]


def common_prefix(state: Mapping[str, torch.Tensor]) -> str:
    """The longest prefix of all keys; empty if there is none."""
    shared = (p for p in prefixes_of(state) if p and all(k.startswith(f"{p}.") for k in state))
    return max(shared, key=len, default="")


def without_prefix(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors under a prefix, with the prefix removed from their keys."""
    dotted = f"{prefix}." if prefix else ""
    return {key.removeprefix(dotted): t for key, t in state.items() if key.startswith(dotted)}


def model_id_of(source: str, architecture: str) -> str:
    """Returns the model id of an architecture: that of its catalog row, if it has one."""
    for model in catalog().values():
        if (model.source, model.architecture) == (source, architecture):
            return model.id
    return f"{source}/{architecture}"


def refuse_other_row(state: Mapping[str, torch.Tensor], model_id: str) -> None:
    """Raises CheckpointRejected if the checkpoint belongs to another row of the catalog."""
    row = identify_model(state)
    if row is not None and row != model_id:
        raise CheckpointRejected(
            f"The checkpoint is of {row}, not of {model_id}; "
            f"choose {row}, or give weights of {model_id}."
        )
