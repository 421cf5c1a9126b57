"""The built-in demo network, trained on the synthetic images of the demo."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from engine.demo.network import CLASS_COUNT, build_network
from engine.errors import InvalidRequest

ARCHITECTURE = "senet"


def build(architecture: str, classes: int | None = None) -> nn.Module:
    """Returns the untrained demo network in evaluation mode; there is one architecture."""
    if architecture != ARCHITECTURE:
        raise InvalidRequest(f"The demo has no model {architecture!r}; its model is demo/senet.")
    if classes not in (None, CLASS_COUNT):
        raise InvalidRequest(f"The demo has {CLASS_COUNT} classes, not {classes}.")
    return build_network().eval()


def adapt(state: Mapping[str, torch.Tensor], architecture: str) -> dict[str, torch.Tensor]:
    """Returns the state dict unchanged: its keys are those of the network."""
    return dict(state)
