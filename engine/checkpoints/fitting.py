"""From a checkpoint to the weights of one network: under which prefix, for how many classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from engine.checkpoints.identify import (
    Part,
    common_prefix,
    fitting_parts,
    model_id_of,
    refuse_other_row,
    without_prefix,
)
from engine.checkpoints.load_state import describe
from engine.checkpoints.network_shapes import compare
from engine.checkpoints.reading import Checkpoint
from engine.checkpoints.registry import adapter, expected_shapes
from engine.checkpoints.weight_sets import choose_set, shown, told_set, unknown_set
from engine.errors import CheckpointRejected


@dataclass(frozen=True, slots=True)
class Fitted:
    """The tensors that a network is given, under its own keys.

    `classes` is the number that the checkpoint's head has, where it is not the architecture's own;
    `remarks` say what was assumed and what was left out, `names` what --weights-key can name.
    """

    tensors: dict[str, torch.Tensor]
    classes: int | None = None
    remarks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def fit(found: Checkpoint, source: str, architecture: str) -> Fitted:
    """The weights in a checkpoint that fit a network, whatever module wraps them.

    Raises CheckpointRejected for weights of another network, naming the catalog's row where it
    is one, for a --weights-key that the file does not have, and where several parts fit and
    nothing says which is meant.
    """
    parts = fitting_parts(found.tensors, source, architecture)
    if not parts:
        _refuse(found, source, architecture)
    named = {part.prefix: part for part in parts}
    asked = found.key.rstrip(".") if found.key is not None else None
    names = (*found.names, *(name for name in named if len(named) > 1))
    if asked is not None and asked not in named:
        raise unknown_set(str(found.key), names, found.file)
    taken = named[asked if asked is not None else choose_set(list(named), found.file)]
    remarks = list(found.remarks)
    if asked is None and len(named) > 1:
        remarks.append(told_set(taken.prefix, list(named), found.file))
    if asked is None:
        remarks += _left_over(found, named, taken)
    classes = _classes(taken, source, architecture)
    if classes is not None:
        own = taken.difference.classes[1] if taken.difference.classes else 0
        remarks.append(
            f"{found.file}: its head has {classes:,} classes, so the network is built with "
            f"{classes:,} outputs instead of {own:,}; figures published for {own:,} classes are "
            f"not of these weights."
        )
    return Fitted(taken.tensors, classes, tuple(remarks), names)


def _classes(part: Part, source: str, architecture: str) -> int | None:
    """The checkpoint's number of classes, checked against a network built for it."""
    if part.difference.classes is None:
        return None
    theirs, _ = part.difference.classes
    difference = compare(part.tensors, expected_shapes(source, architecture, theirs))
    if not difference.is_empty():
        raise CheckpointRejected(describe(difference, model_id_of(source, architecture)))
    return theirs


def _left_over(found: Checkpoint, named: Mapping[str, Part], taken: Part) -> list[str]:
    """Says what lies beside the network; weights there may be the head that is really meant."""
    dotted = tuple(f"{prefix}." for prefix in named)
    rest = [] if "" in named else [key for key in found.tensors if not key.startswith(dotted)]
    if not rest:
        return []
    tensors = [found.tensors[key] for key in rest]
    if any(tensor.ndim > 1 and tensor.is_floating_point() for tensor in tensors):
        raise CheckpointRejected(
            f"{found.file} holds the whole network under {taken.prefix}, and other weights beside "
            f"it ({shown(rest)}); if those are not needed, `--weights-key {taken.prefix}` takes "
            f"the network alone."
        )
    return [
        f"{found.file}: what is not under {taken.prefix} was left out "
        f"({len(rest)} tensor{'' if len(rest) == 1 else 's'}: {shown(rest)})."
    ]


def _refuse(found: Checkpoint, source: str, architecture: str) -> None:
    """Raises CheckpointRejected with what differs once the prefix of all keys is off."""
    model_id = model_id_of(source, architecture)
    refuse_other_row(found.tensors, model_id)
    bare = without_prefix(found.tensors, common_prefix(found.tensors))
    expected = expected_shapes(source, architecture)
    best = max(
        (found.tensors, bare), key=lambda state: sum(key in expected.tensors for key in state)
    )
    adapted = adapter(source).adapt(best, architecture)
    raise CheckpointRejected(describe(compare(adapted, expected), model_id))
