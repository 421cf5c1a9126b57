"""Weights into a network, completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from engine.checkpoints.identify import refuse_other_row
from engine.checkpoints.network_shapes import Difference, compare, describe_keys, shapes_of
from engine.checkpoints.weight_sets import SHOWN_KEYS
from engine.errors import CheckpointRejected


def load_into(module: nn.Module, state: Mapping[str, torch.Tensor], model_id: str) -> None:
    """Copy a state dict in the module's own keys into the module; nothing may be left over.

    Raises CheckpointRejected naming the first differing keys and shapes, a wrong number of
    classes, the catalog row that the weights belong to instead, or values that are no numbers.
    """
    difference = compare(state, shapes_of(module))
    if not difference.is_empty():
        if not difference.fits_apart_from_classes():
            refuse_other_row(state, model_id)
        raise CheckpointRejected(describe(difference, model_id))
    _require_finite(state, module)
    module.load_state_dict(dict(state), strict=True)


def describe(difference: Difference, model_id: str) -> str:
    """The sentence on weights that do not fit a network."""
    if difference.classes is not None:
        theirs, ours = difference.classes
        return (
            f"The checkpoint classifies {theirs} classes, {model_id} {ours}; "
            f"give weights trained for {ours} classes."
        )
    if difference.missing or difference.unexpected:
        what = describe_keys(difference.missing, difference.unexpected)
    else:
        what = _describe_shapes(difference)
    return f"The weights do not fit {model_id}: {what}; give weights of this very architecture."


def _describe_shapes(difference: Difference) -> str:
    shown = "; ".join(
        f"{key} is {list(theirs)} in the checkpoint and {list(ours)} in the network"
        for key, theirs, ours in difference.shapes[:SHOWN_KEYS]
    )
    more = len(difference.shapes) - SHOWN_KEYS
    return f"{shown}; and {more} more shapes differ" if more > 0 else shown


def _require_finite(state: Mapping[str, torch.Tensor], module: nn.Module) -> None:
    for key, own in module.state_dict().items():
        tensor = state.get(key)
        if tensor is None or not own.is_floating_point():
            continue
        if not tensor.is_floating_point():
            raise CheckpointRejected(
                f"The checkpoint's {key} holds {tensor.dtype} values; give unquantized weights."
            )
        # One bad value spoils the sum, which is far cheaper than looking at each.
        if not tensor.float().sum(dtype=torch.float64).isfinite():
            raise CheckpointRejected(
                f"The checkpoint's {key} holds values that are not finite numbers; "
                "give the weights of an earlier epoch, before the training diverged."
            )
