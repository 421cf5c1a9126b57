"""The sources of models: builds a torch module from a source and an architecture.

Importing this module imports neither torch nor timm: the module of a source is imported when it is
used, in a child process. Steps to load a model: `reading.read_checkpoint`, `fitting.fit`,
`build_module`, `load_state.load_into`.
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
# Sources whose checkpoints have other tensor names than the networks.
RENAMING = ("mmcls", "ppcls")
# The gain of the last normalization of every residual branch of an untrained network. Zero, the
# initial value in timm's ResNets, disables the branch; one, as in the legacy models, doubles the
# signal in each of fifty blocks, so that rounding decides how the sigmoids saturate.
UNTRAINED_GAIN = 0.25
LAST_NORMS = ("bn3", "bn2")


class Adapter(Protocol):
    """The interface of a source's module."""

    def build(self, architecture: str, classes: int | None = None) -> nn.Module:
        """Returns the untrained network in evaluation mode; `classes` None: the default number."""

    def adapt(
        self, state: Mapping[str, torch.Tensor], architecture: str
    ) -> dict[str, torch.Tensor]:
        """Returns the tensors of a checkpoint with the network's own keys."""


def adapter(source: str) -> Adapter:
    """Returns the module of a source; raises InvalidRequest for an unknown source."""
    if source not in SOURCES:
        raise InvalidRequest(f"There is no source {source!r}; sources are {', '.join(SOURCES)}.")
    return cast(Adapter, importlib.import_module(SOURCES[source]))


def build_module(
    source: str, architecture: str, *, seed: int | None = None, classes: int | None = None
) -> nn.Module:
    """Returns an untrained network in evaluation mode; `classes` None: the default number.

    With a seed, the weights are the same in every process and suitable for benchmarks and for
    verifying an export: every residual branch contributes. Torch's random state is preserved.
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
        norm = _last_norm(part) if hasattr(part, "downsample") else part
        if not isinstance(norm, nn.BatchNorm2d) or not norm.affine:
            continue
        if norm is not part or not norm.weight.any():
            nn.init.constant_(norm.weight, UNTRAINED_GAIN)


def _last_norm(block: nn.Module) -> nn.Module | None:
    """The last normalization of a residual block, or None."""
    return next((getattr(block, name) for name in LAST_NORMS if hasattr(block, name)), None)


def build_on_meta(source: str, architecture: str, classes: int | None = None) -> nn.Module:
    """Returns a network on the meta device (shapes without values), in about 0.1 s."""
    import torch

    with torch.device("meta"):
        return adapter(source).build(architecture, classes)


@lru_cache(maxsize=64)
def expected_shapes(source: str, architecture: str, classes: int | None = None) -> NetworkShapes:
    """Returns the tensor shapes of an architecture, by the network's keys."""
    from engine.checkpoints.network_shapes import shapes_of

    return shapes_of(build_on_meta(source, architecture, classes))
