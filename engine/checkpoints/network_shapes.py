"""Compares the keys and shapes of a checkpoint with those of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from engine.checkpoints.weight_sets import first_keys

# A counter that only training uses; checkpoints older than torch 0.4.1 lack it.
OPTIONAL_SUFFIX = ".num_batches_tracked"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Missing and unexpected keys; `shapes` are (key, shape in checkpoint, shape in network).

    `classes` is the number of classes of (checkpoint, network), if nothing else differs.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[tuple[str, Shape, Shape], ...]
    classes: tuple[int, int] | None

    def is_empty(self) -> bool:
        """Whether the checkpoint fits."""
        return not (self.missing or self.unexpected or self.shapes)

    def is_same_architecture(self) -> bool:
        """Whether at most the number of classes differs."""
        return self.is_empty() or self.classes is not None


@dataclass(frozen=True, slots=True)
class NetworkShapes:
    """The shapes of a network's tensors by key, and its number of classes (None: unknown)."""

    tensors: Mapping[str, Shape]
    classes: int | None


def shapes_of(module: nn.Module) -> NetworkShapes:
    """Returns the shapes of a network, which may be on the meta device."""
    tensors = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    linear = [part.out_features for part in module.modules() if isinstance(part, nn.Linear)]
    classes = getattr(module, "num_classes", linear[-1] if linear else None)
    return NetworkShapes(tensors, classes if isinstance(classes, int) else None)


def compare(state: Mapping[str, torch.Tensor], network: NetworkShapes) -> Difference:
    """Compares the keys and shapes of a checkpoint with those of a network."""
    expected = network.tensors
    missing = tuple(k for k in expected if k not in state and not k.endswith(OPTIONAL_SUFFIX))
    unexpected = tuple(key for key in state if key not in expected)
    shapes = tuple(
        (key, tuple(state[key].shape), shape)
        for key, shape in expected.items()
        if key in state and tuple(state[key].shape) != shape
    )
    classes = None if missing or unexpected else _classes(shapes, network.classes)
    return Difference(missing, unexpected, shapes, classes)


def _classes(
    shapes: Sequence[tuple[str, Shape, Shape]], classes: int | None
) -> tuple[int, int] | None:
    """The two class counts, if all shapes differ only by them, in the first dimension."""
    pairs = {(given[:1], expected[:1]) for _, given, expected in shapes}
    if len(pairs) != 1 or any(given[1:] != expected[1:] for _, given, expected in shapes):
        return None
    given, expected = pairs.pop()
    return (given[0], expected[0]) if given and expected == (classes,) else None


def describe_keys(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    """Returns e.g. `2 keys are missing (a, b) and 1 key is unexpected (c)`."""
    parts = []
    for keys, what in ((missing, "missing"), (unexpected, "unexpected")):
        if keys:
            count = "1 key is" if len(keys) == 1 else f"{len(keys)} keys are"
            parts.append(f"{count} {what} ({first_keys(keys)})")
    return " and ".join(parts)
