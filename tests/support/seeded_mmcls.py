"""mmcls state dicts with the weights that the oracle gave them."""

from __future__ import annotations

import re

import torch

from engine.checkpoints.registry import build_on_meta
from tests.support.seeded import seeded_weights


def mmcls_name(timm_name: str) -> str:
    """What mmcls calls one of timm's tensors."""
    name = re.sub(r"^fc\.", "head.fc.", timm_name)
    name = re.sub(r"\.se\.fc([12])\.", r".se_layer.conv\1.conv.", name)
    return name if name.startswith("head.") else f"backbone.{name}"


def mmcls_shapes(architecture: str) -> dict[str, list[int]]:
    own = build_on_meta("mmcls", architecture).state_dict()
    return {mmcls_name(name): list(tensor.shape) for name, tensor in own.items()}


def seeded_state(architecture: str) -> dict[str, torch.Tensor]:
    """The weights that the oracle gave to mmpretrain's network."""
    return {
        name: torch.zeros(())
        if name.endswith("num_batches_tracked")
        else torch.from_numpy(seeded_weights(name, tuple(shape)))
        for name, shape in mmcls_shapes(architecture).items()
    }
