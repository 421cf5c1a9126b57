"""From a model's source and name to a torch module with the right weights.

Importing this package imports neither torch nor timm: a source's module is loaded when it is used,
which is in a job's child process. The steps: `checkpoints.read_checkpoint`, `fitting.fit`,
`build_module`, `matching.load_into`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, cast

from engine.errors import InvalidRequest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from engine.checkpoints.network_shapes import NetworkShapes

SOURCES = {
    "timm": "engine.checkpoints.timm",
    "mmcls": "engine.checkpoints.mmcls",
    "ppcls": "engine.checkpoints.ppcls",
    "demo": "engine.checkpoints.demo",
}
# Their checkpoints name tensors otherwise than the networks do.
RENAMING = ("mmcls", "ppcls")
# The gain that every residual branch of an untrained network ends with. Zero, as timm's ResNets
# start, switches the branch off; one, as the legacy ones do, doubles the signal fifty times over,
# and rounding then decides which way its sigmoids saturate.
UNTRAINED_GAIN = 0.25
LAST_NORMS = ("bn3", "bn2")


class Adapter(Protocol):
    """What the module of a source offers."""

    def build(self, architecture: str, classes: int | None = None) -> nn.Module:
        """Return the untrained network in evaluation mode; None: its own number of classes."""

    def adapt(
        self, state: Mapping[str, torch.Tensor], architecture: str
    ) -> dict[str, torch.Tensor]:
        """Return the tensors of a checkpoint under the network's own keys."""


def adapter(source: str) -> Adapter:
    """Return the module of a source; raise InvalidRequest for a source without one."""
    if source not in SOURCES:
        raise InvalidRequest(f"There is no source {source!r}; there are {', '.join(SOURCES)}.")
    return cast(Adapter, importlib.import_module(SOURCES[source]))


def build_module(
    source: str, architecture: str, *, seed: int | None = None, classes: int | None = None
) -> nn.Module:
    """Return an untrained network in evaluation mode, with its own number of classes or another.

    With a seed its weights are the same in every process, and fit for speed and for checking an
    export: every residual branch carries signal. Torch's own random state is left as it was.
    Raises InvalidRequest for an unknown source or architecture.
    """
    if seed is None:
        return adapter(source).build(architecture, classes)
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = adapter(source).build(architecture, classes)
    _balance_branches(module)
    return module


def _balance_branches(module: nn.Module) -> None:
    from torch import nn

    for part in module.modules():
        norm = _end_of_branch(part) if hasattr(part, "downsample") else part
        if not isinstance(norm, nn.BatchNorm2d) or not norm.affine:
            continue
        if norm is not part or not norm.weight.any():
            nn.init.constant_(norm.weight, UNTRAINED_GAIN)


def _end_of_branch(block: nn.Module) -> nn.Module | None:
    """The last normalization of a residual block, where it has one."""
    return next((getattr(block, name) for name in LAST_NORMS if hasattr(block, name)), None)


def build_on_meta(source: str, architecture: str, classes: int | None = None) -> nn.Module:
    """Return a network of shapes without values, which takes a tenth of a second."""
    import torch

    with torch.device("meta"):
        return adapter(source).build(architecture, classes)


@lru_cache(maxsize=64)
def expected_shapes(source: str, architecture: str, classes: int | None = None) -> NetworkShapes:
    """Return the shapes that the weights of an architecture have, under the network's keys."""
    from engine.checkpoints.network_shapes import shapes_of

    return shapes_of(build_on_meta(source, architecture, classes))
