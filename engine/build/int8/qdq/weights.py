"""Weights in 8 bits: a step for each output channel, within what the kernel can add up.

Kernels without a dot product of bytes (VNNI) add two products of neighboring inputs in 16 bits.
Activations reach 255, so of two neighboring weights of one sign the sum may be 128 at most. That
is 7 bits only where both are large, which few pairs are: a pair beyond it is moved to the nearest
one that fits, and the step is chosen with that error counted in.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from engine.onnx.graph_view import attributes_of, group_of

LARGEST = 127
LARGEST_PAIR = 128
"""255 x 128 = 32,640, and 16 bits hold 32,767."""
SMALLEST_STEP = 1e-9
SHARES = np.linspace(0.6, 1.0, 33)
SHARES_OF_PAIRS = np.linspace(0.6, 2.0, 43)
"""At 2.0 no weight is over 64, and every pair fits."""


def quantize_layer(
    node: NodeProto,
    weights: np.ndarray,
    in_pairs: bool,
    least_step: np.ndarray | float = SMALLEST_STEP,
) -> tuple[np.ndarray, np.ndarray]:
    """(int8 weights, step of each output channel) of a Conv or Gemm; channels first in both.

    `in_pairs`: products are added two at a time in 16 bits. Depthwise convolutions have a kernel
    of their own, which does not.
    """
    by_channel = np.moveaxis(weights, channel_axis(node), 0)
    depthwise = node.op_type == "Conv" and weights.shape[:2] == (group_of(node), 1)
    if not in_pairs or depthwise:
        return quantize_weights(by_channel, least_step)
    # The kernel walks over places, and at each over the channels, whatever the layout of the file.
    walked = np.moveaxis(by_channel, 1, -1)
    whole, steps = quantize_weights(walked, least_step, in_pairs=True)
    return np.ascontiguousarray(np.moveaxis(whole, -1, 1)), steps


def channel_axis(node: NodeProto) -> int:
    """The axis of a layer's weights that its output channels are on."""
    return int(node.op_type == "Gemm" and not attributes_of(node).get("transB", 0))


def quantize_weights(
    weights: np.ndarray,
    least_step: np.ndarray | float = SMALLEST_STEP,
    in_pairs: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """(int8 weights, step of each output channel), channels first, in the order they are added.

    Each channel takes the step of least squared error among shares of its largest weight, and
    none below `least_step`.
    """
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    largest = np.maximum(np.abs(rows).max(axis=1), np.asarray(least_step) * LARGEST)
    best = largest / LARGEST
    error = np.full(len(rows), np.inf)
    for share in SHARES_OF_PAIRS if in_pairs else SHARES:
        step = np.maximum(largest * share / LARGEST, least_step)
        rounded = _rounded(rows, step, in_pairs) * step[:, None]
        squared = ((rounded - rows) ** 2).sum(axis=1)
        better = squared <= error
        best, error = np.where(better, step, best), np.where(better, squared, error)
    return _rounded(rows, best, in_pairs).astype(np.int8).reshape(weights.shape), best


def _rounded(rows: np.ndarray, steps: np.ndarray, in_pairs: bool) -> np.ndarray:
    whole = np.clip(np.round(rows / steps[:, None]), -LARGEST, LARGEST)
    if in_pairs:
        _fit_pairs(whole)
    return whole


def _fit_pairs(whole: np.ndarray) -> None:
    """Moves pairs of one sign that add up to more than LARGEST_PAIR, each by half of the excess."""
    length = whole.shape[1] // 2 * 2
    first, second = whole[:, 0:length:2], whole[:, 1:length:2]
    excess = np.maximum(np.abs(first + second) - LARGEST_PAIR, 0)
    first -= np.sign(first) * np.ceil(excess / 2)
    second -= np.sign(second) * np.floor(excess / 2)
