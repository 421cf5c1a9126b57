"""Loads weights into a network, completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from engine.checkpoints.identify import refuse_other_row
from engine.checkpoints.network_shapes import Difference, compare, describe_keys, shapes_of
from engine.checkpoints.weight_sets import SHOWN_KEYS
from engine.errors import CheckpointRejected


def load_into(module: nn.Module, state: Mapping[str, torch.Tensor], model_id: str) -> None:
    """Loads a state dict with the module's own keys; all keys must match.

    Raises CheckpointRejected naming the first different keys and shapes, a wrong number of
    classes, the catalog row of the weights, or non-finite values.
    """
    difference = compare(state, shapes_of(module))
    if not difference.is_empty():
        if not difference.is_same_architecture():
            refuse_other_row(state, model_id)
        raise CheckpointRejected(mismatch_message(difference, model_id))
    _require_finite(state, module)
    module.load_state_dict(dict(state), strict=True)


def mismatch_message(difference: Difference, model_id: str) -> str:
    """The message on weights that do not fit a network."""
    if difference.classes is not None:
        given, expected = difference.classes
        return (
            f"The checkpoint has {given} classes, {model_id} has {expected}; "
            f"give weights trained for {expected} classes."
        )
    if difference.missing or difference.unexpected:
        what = describe_keys(difference.missing, difference.unexpected)
    else:
        what = _describe_shapes(difference)
    return f"The weights do not fit {model_id}: {what}; give weights of exactly this architecture."


def _describe_shapes(difference: Difference) -> str:
    shown = "; ".join(
        f"{key} is {list(given)} in the checkpoint and {list(expected)} in the network"
        for key, given, expected in difference.shapes[:SHOWN_KEYS]
    )
    more = len(difference.shapes) - SHOWN_KEYS
    return f"{shown}; and {more} more shapes differ" if more > 0 else shown


def _require_finite(state: Mapping[str, torch.Tensor], module: nn.Module) -> None:
    for key, parameter in module.state_dict().items():
        tensor = state.get(key)
        if tensor is None or not parameter.is_floating_point():
            continue
        if not tensor.is_floating_point():
            raise CheckpointRejected(
                f"The checkpoint's {key} has {tensor.dtype} values; give unquantized weights."
            )
        # A sum is non-finite if one value is, and much faster than checking each value.
        if not tensor.float().sum(dtype=torch.float64).isfinite():
            raise CheckpointRejected(
                f"The checkpoint's {key} contains non-finite values; "
                "give the weights of an earlier epoch, before the training diverged."
            )
