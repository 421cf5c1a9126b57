"""timm: any architecture that it knows by name, and its own checkpoints as they are."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

from engine.errors import InvalidRequest


def build(architecture: str, classes: int | None = None) -> nn.Module:
    """Return the untrained network of a timm name, with or without a tag, in evaluation mode.

    Raises InvalidRequest with close matches for names that timm does not know.
    """
    # A name with a scheme ("hf-hub:...") would make timm ask the network.
    known = ":" not in architecture and timm.is_model(architecture)
    if known and "." in architecture:
        known = architecture in timm.list_pretrained()
    if not known:
        raise InvalidRequest(f"timm has no model {architecture!r}.{_hint(architecture)}")
    own: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    return timm.create_model(architecture, pretrained=False, **own).eval()


def adapt(state: Mapping[str, torch.Tensor], architecture: str) -> dict[str, torch.Tensor]:
    """Return the checkpoint as it is: its keys are the network's own."""
    return dict(state)


def _hint(architecture: str) -> str:
    names = timm.list_pretrained() if "." in architecture else timm.list_models()
    close = difflib.get_close_matches(architecture, names, n=3)
    return f" Did you mean {', '.join(close)}?" if close else " timm.list_models() lists them."
