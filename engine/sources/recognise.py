"""Which row of the catalogue a checkpoint belongs to, judged by its keys and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from engine.catalog import catalogue, find_model
from engine.errors import CheckpointRejected
from engine.sources import RENAMING, adapter, expected_shapes
from engine.sources.comparison import compare

DEMO_ID = "demo/senet"


def recognise(state: Mapping[str, torch.Tensor]) -> str | None:
    """Return the catalogue id, such as `ppcls/seresnet50`, that a checkpoint fits, or None.

    `state` is in the file's own names. The number of classes is not looked at.
    """
    models = (find_model(DEMO_ID), *catalogue().values())
    # Sources with names of their own are told apart by keys, without building a network.
    for model in sorted(models, key=lambda model: model.source not in RENAMING):
        if _fits(state, model.source, model.architecture):
            return model.id
    return None


def model_id_of(source: str, architecture: str) -> str:
    """Return the id of a source's architecture: that of its row, where it has one."""
    for model in catalogue().values():
        if (model.source, model.architecture) == (source, architecture):
            return model.id
    return f"{source}/{architecture}"


def refuse_other_row(state: Mapping[str, torch.Tensor], model_id: str) -> None:
    """Raise CheckpointRejected if the checkpoint belongs to another row of the catalogue."""
    row = recognise(state)
    if row is not None and row != model_id:
        raise CheckpointRejected(
            f"The checkpoint is one of {row}, not of {model_id}; "
            f"choose {row}, or give weights of {model_id}."
        )


def _fits(state: Mapping[str, torch.Tensor], source: str, architecture: str) -> bool:
    try:
        adapted = adapter(source).adapt(state, architecture)
    except CheckpointRejected:
        return False
    return compare(adapted, expected_shapes(source, architecture)).fits_apart_from_classes()
