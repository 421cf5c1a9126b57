"""Quantization of weights to int8, one scale per output channel, without overflow in the kernel.

Kernels without an 8-bit dot product (VNNI) add the products of two neighboring inputs in 16 bits.
Activations reach 255, so the sum of two neighboring weights of the same sign must not exceed 128.
Few pairs of weights are that large. They are reduced to the nearest pair within the limit, and the
scale is chosen with this error included, so that more than 7 bits of precision remain.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from engine.onnx.graph_view import attributes_of, group_count

MAX_WEIGHT = 127
MAX_PAIR_SUM = 128
"""255 x 128 = 32,640, and 16 bits hold 32,767."""
MIN_SCALE = 1e-9
SCALE_FRACTIONS = np.linspace(0.6, 1.0, 33)
PAIR_SCALE_FRACTIONS = np.linspace(0.6, 2.0, 43)
"""At 2.0 no weight exceeds 64, so every pair is within the limit."""


def quantize_layer(
    node: NodeProto,
    weights: np.ndarray,
    bound_pairs: bool,
    min_scale: np.ndarray | float = MIN_SCALE,
) -> tuple[np.ndarray, np.ndarray]:
    """(int8 weights, scale per output channel) of a Conv or Gemm; output channels first in both.

    `bound_pairs`: the kernel adds two products in 16 bits, so pairs of weights are bounded. The
    kernel of depthwise convolutions does not, so theirs are not bounded.
    """
    by_channel = np.moveaxis(weights, channel_axis(node), 0)
    depthwise = node.op_type == "Conv" and weights.shape[:2] == (group_count(node), 1)
    if not bound_pairs or depthwise:
        return quantize_weights(by_channel, min_scale)
    # The kernel adds channels in the inner loop and kernel positions in the outer one.
    kernel_order = np.moveaxis(by_channel, 1, -1)
    quantized, scales = quantize_weights(kernel_order, min_scale, bound_pairs=True)
    return np.ascontiguousarray(np.moveaxis(quantized, -1, 1)), scales


def channel_axis(node: NodeProto) -> int:
    """The axis of the output channels in the weights of a Conv or Gemm."""
    return int(node.op_type == "Gemm" and not attributes_of(node).get("transB", 0))


def quantize_weights(
    weights: np.ndarray,
    min_scale: np.ndarray | float = MIN_SCALE,
    bound_pairs: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """(int8 weights, scale per output channel); channels first, then in the order of accumulation.

    The scale of each channel is the one with the least squared error among fractions of its largest
    weight / 127, and at least `min_scale`.
    """
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    max_magnitude = np.maximum(np.abs(rows).max(axis=1), np.asarray(min_scale) * MAX_WEIGHT)
    best_scale = max_magnitude / MAX_WEIGHT
    error = np.full(len(rows), np.inf)
    for fraction in PAIR_SCALE_FRACTIONS if bound_pairs else SCALE_FRACTIONS:
        scale = np.maximum(max_magnitude * fraction / MAX_WEIGHT, min_scale)
        dequantized = _round(rows, scale, bound_pairs) * scale[:, None]
        channel_error = ((dequantized - rows) ** 2).sum(axis=1)
        better = channel_error <= error
        best_scale, error = (
            np.where(better, scale, best_scale),
            np.where(better, channel_error, error),
        )
    return _round(rows, best_scale, bound_pairs).astype(np.int8).reshape(weights.shape), best_scale


def _round(rows: np.ndarray, scales: np.ndarray, bound_pairs: bool) -> np.ndarray:
    quantized = np.clip(np.round(rows / scales[:, None]), -MAX_WEIGHT, MAX_WEIGHT)
    if bound_pairs:
        _fit_pairs(quantized)
    return quantized


def _fit_pairs(quantized: np.ndarray) -> None:
    """Reduces pairs whose absolute sum exceeds MAX_PAIR_SUM, in place, by half the excess each."""
    length = quantized.shape[1] // 2 * 2
    first, second = quantized[:, 0:length:2], quantized[:, 1:length:2]
    excess = np.maximum(np.abs(first + second) - MAX_PAIR_SUM, 0)
    first -= np.sign(first) * np.ceil(excess / 2)
    second -= np.sign(second) * np.floor(excess / 2)
