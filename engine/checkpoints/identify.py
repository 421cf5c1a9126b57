"""Which row of the catalog a checkpoint belongs to, judged by its keys and shapes alone."""

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
# A network is at least so large a part of the file that holds it.
LEAST_SHARE = 0.2
MAX_PREFIX_PARTS = 12


@dataclass(frozen=True, slots=True)
class Part:
    """The tensors under a prefix (without its dot; empty for all) that fit a network.

    `tensors` have the network's own keys; `difference` is empty, or in the number of classes.
    """

    prefix: str
    tensors: dict[str, torch.Tensor]
    difference: Difference


def recognize(state: Mapping[str, torch.Tensor]) -> str | None:
    """Return the catalog id, such as `ppcls/seresnet50`, that a checkpoint fits, or None.

    `state` is in the file's own names, of wrapping modules too. The number of classes is not
    looked at.
    """
    models = (find_model(DEMO_ID), *catalog().values())
    # Sources with names of their own are told apart by keys, without building a network.
    for model in sorted(models, key=lambda model: model.source not in RENAMING):
        if fitting_parts(state, model.source, model.architecture):
            return model.id
    return None


def fitting_parts(
    state: Mapping[str, torch.Tensor], source: str, architecture: str
) -> tuple[Part, ...]:
    """Every part of a state dict that is the whole network, perhaps trained for other classes.

    Wrapping modules (DataParallel, torch.compile, Lightning, timm's own) put a prefix before the
    keys: any is taken off, however many they are, if the rest fits.
    """
    found = []
    for prefix in prefixes_of(state):
        try:
            adapted = adapter(source).adapt(without_prefix(state, prefix), architecture)
        except CheckpointRejected:
            continue
        difference = compare(adapted, expected_shapes(source, architecture))
        if difference.fits_apart_from_classes():
            found.append(Part(prefix, adapted, difference))
    return tuple(found)


def prefixes_of(state: Mapping[str, torch.Tensor]) -> list[str]:
    """What a good part of the keys begin with, up to a dot; the shortest first, `` among them."""
    counts: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")[:-1][:MAX_PREFIX_PARTS]
        counts.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    least = LEAST_SHARE * len(state)
    return ["", *sorted((p for p, n in counts.items() if n >= least), key=len)]


def common_prefix(state: Mapping[str, torch.Tensor]) -> str:
    """The longest prefix that all keys share, empty where they share none."""
    shared = (p for p in prefixes_of(state) if p and all(k.startswith(f"{p}.") for k in state))
    return max(shared, key=len, default="")


def without_prefix(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors under a prefix, which is taken off."""
    dotted = f"{prefix}." if prefix else ""
    return {key.removeprefix(dotted): t for key, t in state.items() if key.startswith(dotted)}


def model_id_of(source: str, architecture: str) -> str:
    """Return the id of a source's architecture: that of its row, where it has one."""
    for model in catalog().values():
        if (model.source, model.architecture) == (source, architecture):
            return model.id
    return f"{source}/{architecture}"


def refuse_other_row(state: Mapping[str, torch.Tensor], model_id: str) -> None:
    """Raise CheckpointRejected if the checkpoint belongs to another row of the catalog."""
    row = recognize(state)
    if row is not None and row != model_id:
        raise CheckpointRejected(
            f"The checkpoint is one of {row}, not of {model_id}; "
            f"choose {row}, or give weights of {model_id}."
        )
