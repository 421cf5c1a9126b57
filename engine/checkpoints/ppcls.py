"""PaddleClas: its seven SE networks, built from timm's ResNet without Paddle.

The outputs are equal up to rounding: tests/oracles/recorded has the outputs of Paddle 3.3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from timm.layers.squeeze_excite import SEModule
from timm.models.resnet import BasicBlock, Bottleneck, ResNet, downsample_avg
from torch import nn

from engine.checkpoints.network_shapes import describe_keys
from engine.checkpoints.ppcls_names import ARCHITECTURES, Layout, TensorNames, tensor_names
from engine.errors import CheckpointRejected, InvalidRequest


def build(architecture: str, classes: int | None = None) -> nn.Module:
    """Returns the untrained network of a PaddleClas class name in evaluation mode."""
    if architecture not in ARCHITECTURES:
        raise InvalidRequest(
            f"PaddleClas has no model {architecture!r}; supported are {', '.join(ARCHITECTURES)}."
        )
    model = ARCHITECTURES[architecture]
    deep_stem = {"stem_type": "deep", "stem_width": model.stem_width, "avg_down": True}
    resnet: Any = ResNet
    network = resnet(
        Bottleneck if model.convs_per_block == 3 else BasicBlock,
        model.depths,
        cardinality=model.cardinality,
        base_width=model.base_width,
        # Paddle rounds the SE width down to channels / 16; timm's default is a multiple of 8.
        block_args={"attn_layer": partial(SEModule, rd_ratio=1 / 16, rd_divisor=1)},
        **(deep_stem if model.is_vd else {}),
        **({} if classes is None else {"num_classes": classes}),
    )
    if model.convs_per_block == 2:
        # Paddle projects the first shortcut even though its shape does not change; timm does not.
        network.layer1[0].downsample = downsample_avg(64, 64, 1, stride=1)
    return network.eval()


def adapt(state: Mapping[str, torch.Tensor], architecture: str) -> dict[str, torch.Tensor]:
    """Converts a .pdparams or .pdiparams state dict to timm's names and layouts.

    Raises CheckpointRejected unless the keys are exactly those of the architecture.
    """
    names = tensor_names(architecture)
    by_key = {entry.structured: entry for entry in names}
    if "fc6_weights" in state:
        by_key = {entry.parameter: entry for entry in names}
    missing = [key for key in by_key if key not in state]
    unexpected = [key for key in state if key not in by_key]
    if missing or unexpected:
        raise CheckpointRejected(
            f"The weights do not fit PaddleClas' {architecture}: "
            f"{describe_keys(missing, unexpected)}; give the .pdparams of {architecture}."
        )
    return {entry.timm: _to_torch(state[key], entry) for key, entry in by_key.items()}


def _to_torch(tensor: torch.Tensor, entry: TensorNames) -> torch.Tensor:
    if entry.layout == Layout.SAME:
        return tensor
    if tensor.ndim != 2:
        raise CheckpointRejected(
            f"{entry.structured} has {tensor.ndim} dimensions in the weights instead of 2; "
            "give the file as PaddleClas wrote it."
        )
    transposed = tensor.T.contiguous()
    return transposed if entry.layout == Layout.LINEAR else transposed[:, :, None, None]
