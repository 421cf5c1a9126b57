"""The demo network: a small residual network with squeeze-and-excitation (SE) in each block.

An SE unit computes a gate for each channel from the whole image and scales the channel by it
(Hu et al., "Squeeze-and-Excitation Networks", 2018).
"""

from __future__ import annotations

import torch
from torch import nn

STEM_WIDTH = 16
WIDTHS = (32, 64, 128)
BLOCKS_PER_STAGE = 2
CLASS_COUNT = 16


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate in (0, 1) that depends on the whole image; (N, C, H, W)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, max(channels // reduction, 4), kernel_size=1)
        self.expand = nn.Conv2d(max(channels // reduction, 4), channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squeezed = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        gates = torch.sigmoid(self.expand(torch.relu(self.reduce(squeezed))))
        return x * gates


class SEBlock(nn.Module):
    """A basic ResNet block (two 3x3 convolutions and a shortcut) with an SE unit."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = SqueezeExcite(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            # The sum needs equal shapes, so the shortcut is projected if the shape changes.
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.se(self.bn2(self.conv2(y)))
        return torch.relu(y + self.shortcut(x))


class DemoNetwork(nn.Module):
    """Images (N, 3, 64, 64), normalized -> logits (N, 16)."""

    def __init__(self) -> None:
        super().__init__()
        # The stem reduces height and width to a quarter early, because it runs at full resolution.
        self.stem = nn.Sequential(
            *_strided_convolution(3, STEM_WIDTH), *_strided_convolution(STEM_WIDTH, WIDTHS[0])
        )
        blocks, channels_in = [], WIDTHS[0]
        for stage, channels in enumerate(WIDTHS):
            for block in range(BLOCKS_PER_STAGE):
                # Each stage after the first halves the height and width in its first block.
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(SEBlock(channels_in, channels, stride))
                channels_in = channels
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels_in, CLASS_COUNT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x))
        return self.classifier(x.mean((2, 3)))


def _strided_convolution(channels_in: int, channels: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(channels), nn.ReLU()


def build_network() -> nn.Module:
    """The network with untrained weights; the trained ones are in `weights.safetensors`."""
    return DemoNetwork()
