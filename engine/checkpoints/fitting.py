"""Extracts the weights of one model from a checkpoint: finds their prefix and class count."""

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
from engine.checkpoints.load_state import mismatch_message
from engine.checkpoints.network_shapes import compare
from engine.checkpoints.reading import Checkpoint
from engine.checkpoints.registry import adapter, expected_shapes
from engine.checkpoints.weight_sets import choose_set, chosen_set_remark, first_keys, unknown_set
from engine.errors import CheckpointRejected
from engine.text import plural


@dataclass(frozen=True, slots=True)
class Fitted:
    """The tensors to load into a network, with its own keys.

    `classes` is the checkpoint's number of classes, if it differs from the architecture's;
    `remarks` state assumptions and ignored tensors; `names` are the values of --weights-key.
    """

    tensors: dict[str, torch.Tensor]
    classes: int | None = None
    remarks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def fit(checkpoint: Checkpoint, source: str, architecture: str) -> Fitted:
    """Extracts the weights that fit a network, under any prefix of a wrapping module.

    Raises CheckpointRejected for weights of another network (naming its catalog row, if any), for
    an unknown --weights-key, and if several parts fit and the choice is ambiguous.
    """
    parts = fitting_parts(checkpoint.tensors, source, architecture)
    if not parts:
        _refuse(checkpoint, source, architecture)
    by_prefix = {part.prefix: part for part in parts}
    requested = checkpoint.key.rstrip(".") if checkpoint.key is not None else None
    names = (*checkpoint.names, *(name for name in by_prefix if len(by_prefix) > 1))
    if requested is not None and requested not in by_prefix:
        raise unknown_set(str(checkpoint.key), names, checkpoint.file)
    if requested is None:
        part = by_prefix[choose_set(list(by_prefix), checkpoint.file)]
    else:
        part = by_prefix[requested]
    remarks = list(checkpoint.remarks)
    if requested is None and len(by_prefix) > 1:
        remarks.append(chosen_set_remark(part.prefix, list(by_prefix), checkpoint.file))
    if requested is None:
        remarks += _ignored_tensors(checkpoint, by_prefix, part)
    classes = _classes(part, source, architecture)
    if classes is not None:
        default = part.difference.classes[1] if part.difference.classes else 0
        remarks.append(
            f"{checkpoint.file}: its head has {classes:,} classes, so the network is built with "
            f"{classes:,} outputs instead of {default:,}; published figures for {default:,} "
            f"classes do not apply to these weights."
        )
    return Fitted(part.tensors, classes, tuple(remarks), names)


def _classes(part: Part, source: str, architecture: str) -> int | None:
    """The checkpoint's number of classes, verified with a network of that size; None: default."""
    if part.difference.classes is None:
        return None
    classes, _ = part.difference.classes
    difference = compare(part.tensors, expected_shapes(source, architecture, classes))
    if not difference.is_empty():
        raise CheckpointRejected(mismatch_message(difference, model_id_of(source, architecture)))
    return classes


def _ignored_tensors(
    checkpoint: Checkpoint, by_prefix: Mapping[str, Part], part: Part
) -> list[str]:
    """Remarks on tensors outside the network. Raises CheckpointRejected if they are weights.

    Weights outside may be the head that is really needed.
    """
    dotted = tuple(f"{prefix}." for prefix in by_prefix)
    outside = (
        [] if "" in by_prefix else [key for key in checkpoint.tensors if not key.startswith(dotted)]
    )
    if not outside:
        return []
    tensors = [checkpoint.tensors[key] for key in outside]
    if any(tensor.ndim > 1 and tensor.is_floating_point() for tensor in tensors):
        others = first_keys(outside)
        raise CheckpointRejected(
            f"{checkpoint.file} contains the whole network under {part.prefix}, and other weights "
            f"outside it ({others}); if those are not needed, select the network alone "
            f"with `--weights-key {part.prefix}`."
        )
    return [
        f"{checkpoint.file}: ignored {plural(len(outside), 'tensor')} "
        f"outside {part.prefix} ({first_keys(outside)})."
    ]


def _refuse(checkpoint: Checkpoint, source: str, architecture: str) -> None:
    """Raises CheckpointRejected with the differences, after removing a common prefix."""
    model_id = model_id_of(source, architecture)
    refuse_other_row(checkpoint.tensors, model_id)
    bare = without_prefix(checkpoint.tensors, common_prefix(checkpoint.tensors))
    expected = expected_shapes(source, architecture)
    best = max(
        (checkpoint.tensors, bare), key=lambda state: sum(key in expected.tensors for key in state)
    )
    adapted = adapter(source).adapt(best, architecture)
    raise CheckpointRejected(mismatch_message(compare(adapted, expected), model_id))
