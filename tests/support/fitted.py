"""A state dict put into the form that a network takes, as a file's would be."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from engine.checkpoints.fitting import fit
from engine.checkpoints.reading import Checkpoint


def fitted(
    source: str, architecture: str, state: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The tensors under the network's own keys."""
    return fit(Checkpoint("x.pth", dict(state)), source, architecture).tensors
