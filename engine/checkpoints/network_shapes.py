"""How the tensors of a checkpoint differ from those that a network has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from engine.checkpoints.weight_sets import shown

# A counter that only training reads; checkpoints older than torch 0.4.1 lack it.
OPTIONAL_SUFFIX = ".num_batches_tracked"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Keys in the order of their owner; `shapes` holds (key, checkpoint's, network's).

    `classes` is (checkpoint's, network's) number of classes where nothing else differs.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[tuple[str, Shape, Shape], ...]
    classes: tuple[int, int] | None

    def is_empty(self) -> bool:
        """Whether the checkpoint fits."""
        return not (self.missing or self.unexpected or self.shapes)

    def fits_apart_from_classes(self) -> bool:
        """Whether it is the same architecture, perhaps trained for other classes."""
        return self.is_empty() or self.classes is not None


@dataclass(frozen=True, slots=True)
class NetworkShapes:
    """The shapes of a network's tensors by key, and its number of classes."""

    tensors: Mapping[str, Shape]
    classes: int | None


def shapes_of(module: nn.Module) -> NetworkShapes:
    """Return the shapes of a network, which may be on the meta device."""
    tensors = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    linear = [part.out_features for part in module.modules() if isinstance(part, nn.Linear)]
    classes = getattr(module, "num_classes", linear[-1] if linear else None)
    return NetworkShapes(tensors, classes if isinstance(classes, int) else None)


def compare(state: Mapping[str, torch.Tensor], network: NetworkShapes) -> Difference:
    """Compare the keys and shapes of a checkpoint with those of a network."""
    own = network.tensors
    missing = tuple(k for k in own if k not in state and not k.endswith(OPTIONAL_SUFFIX))
    unexpected = tuple(key for key in state if key not in own)
    shapes = tuple(
        (key, tuple(state[key].shape), shape)
        for key, shape in own.items()
        if key in state and tuple(state[key].shape) != shape
    )
    classes = None if missing or unexpected else _classes(shapes, network.classes)
    return Difference(missing, unexpected, shapes, classes)


def _classes(
    shapes: Sequence[tuple[str, Shape, Shape]], classes: int | None
) -> tuple[int, int] | None:
    """The two numbers of classes, if each difference is that number in the first axis."""
    pairs = {(theirs[:1], ours[:1]) for _, theirs, ours in shapes}
    if len(pairs) != 1 or any(theirs[1:] != ours[1:] for _, theirs, ours in shapes):
        return None
    theirs, ours = pairs.pop()
    return (theirs[0], ours[0]) if theirs and ours == (classes,) else None


def describe_keys(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    """Return e.g. `2 keys are missing (a, b) and 1 is unexpected (c)`."""
    parts = []
    for keys, what in ((missing, "missing"), (unexpected, "unexpected")):
        if keys:
            count = "1 key is" if len(keys) == 1 else f"{len(keys)} keys are"
            parts.append(f"{count} {what} ({shown(keys)})")
    return " and ".join(parts)
