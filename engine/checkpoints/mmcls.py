"""mmcls (OpenMMLab): its SE-ResNets equal timm's bit for bit; only the tensor names differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

from engine.errors import CheckpointRejected, InvalidRequest

# The names of the equal timm models.
ARCHITECTURES = ("seresnet50", "seresnet101")
RENAMES = (
    (re.compile(r"^backbone\.(layer\d\.\d+)\.se_layer\.conv([12])\.conv\."), r"\1.se.fc\2."),
    (re.compile(r"^backbone\."), ""),
    (re.compile(r"^head\.fc\."), "fc."),
)


def build(architecture: str, classes: int | None = None) -> nn.Module:
    """Returns the untrained network in evaluation mode."""
    if architecture not in ARCHITECTURES:
        raise InvalidRequest(
            f"mmcls has no model {architecture!r}; supported are {' and '.join(ARCHITECTURES)}."
        )
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    return timm.create_model(architecture, pretrained=False, **options).eval()


def adapt(state: Mapping[str, torch.Tensor], architecture: str) -> dict[str, torch.Tensor]:
    """Renames the keys of an mmcls or mmpretrain state dict to timm's; tensors are unchanged.

    Raises CheckpointRejected for keys outside the backbone and the linear head.
    """
    others = [key for key in state if not key.startswith(("backbone.", "head.fc."))]
    if others:
        raise CheckpointRejected(
            f"The checkpoint is not of an mmcls classifier: its key {others[0]} is neither in "
            f"`backbone.` nor in `head.fc.`; give the mmcls checkpoint of {architecture}."
        )
    return {_rename(key): tensor for key, tensor in state.items()}


def _rename(key: str) -> str:
    for pattern, replacement in RENAMES:
        renamed, count = pattern.subn(replacement, key)
        if count:
            return renamed
    return key
