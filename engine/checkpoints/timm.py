"""timm: all its architectures, and its checkpoints, whose keys are those of the network."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

from engine.errors import InvalidRequest


def build(architecture: str, classes: int | None = None) -> nn.Module:
    """Returns the untrained network of a timm name (the tag is optional) in evaluation mode.

    Raises InvalidRequest, with close matches, for unknown names.
    """
    # timm would download the configuration of a name with a scheme ("hf-hub:...").
    exists = ":" not in architecture and timm.is_model(architecture)
    if exists and "." in architecture:
        exists = architecture in timm.list_pretrained()
    if not exists:
        raise InvalidRequest(f"timm has no model {architecture!r}.{_hint(architecture)}")
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    return timm.create_model(architecture, pretrained=False, **options).eval()


def adapt(state: Mapping[str, torch.Tensor], architecture: str) -> dict[str, torch.Tensor]:
    """Returns the state dict unchanged: its keys are those of the network."""
    return dict(state)


def _hint(architecture: str) -> str:
    names = timm.list_pretrained() if "." in architecture else timm.list_models()
    close = difflib.get_close_matches(architecture, names, n=3)
    return f" Did you mean {', '.join(close)}?" if close else " timm.list_models() lists them."
