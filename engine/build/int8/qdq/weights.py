"""Quantization of weights to int8, one scale per output channel, without overflow in the kernel.

Kernels without an 8-bit dot product (VNNI) add the products of two neighboring inputs in 16 bits.
Activations reach 255, so the sum of two neighboring weights of the same sign must not exceed 128.
Few pairs of weights are that large. They are reduced to the nearest pair within the limit, and the
scale is chosen with this error included, so that more than 7 bits of precision remain.
"""

from __future__ import annotations

import hashlib

import numpy as np
from onnx import NodeProto

from engine.onnx.graph_view import attributes_of, group_count

MAX_WEIGHT = 127
MAX_PAIR_SUM = 128
"""255 x 128 = 32,640, and 16 bits hold 32,767."""
MIN_SCALE = 1e-9
CHUNK_VALUES = 1 << 16
"""Weights are rounded in chunks that fit the processor's cache: a fifth of the time."""
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


class WeightCache:
    """Quantized weights of one build, so that none is quantized twice; found by their content."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def quantize(
        self, node: NodeProto, weights: np.ndarray, bound_pairs: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `quantize_layer`."""
        digest = hashlib.blake2b(weights.tobytes(), digest_size=16)
        group = group_count(node) if node.op_type == "Conv" else 0
        digest.update(repr((weights.shape, channel_axis(node), group, bound_pairs)).encode())
        key = digest.digest()
        if key not in self._found:
            self._found[key] = quantize_layer(node, weights, bound_pairs)
        return self._found[key]


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
    weight / 127, and at least `min_scale`; errors are computed in the data type of the weights.
    """
    rows = weights.reshape(len(weights), -1)
    floor = np.broadcast_to(np.asarray(min_scale, np.float64), len(rows))
    quantized = np.empty(rows.shape, np.int8)
    scales = np.empty(len(rows))
    step = max(CHUNK_VALUES // max(rows.shape[1], 1), 1)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        quantized[part], scales[part] = _quantize_rows(rows[part], floor[part], bound_pairs)
    return quantized.reshape(weights.shape), scales


def _quantize_rows(
    rows: np.ndarray, min_scale: np.ndarray, bound_pairs: bool
) -> tuple[np.ndarray, np.ndarray]:
    max_magnitude = np.maximum(np.abs(rows).max(axis=1), min_scale * MAX_WEIGHT)
    best_scale = max_magnitude / MAX_WEIGHT
    least_error = np.full(len(rows), np.inf)
    levels, error = np.empty_like(rows), np.empty_like(rows)
    for fraction in PAIR_SCALE_FRACTIONS if bound_pairs else SCALE_FRACTIONS:
        scale = np.maximum(max_magnitude * fraction / MAX_WEIGHT, min_scale)
        _round(rows, scale, bound_pairs, levels)
        np.multiply(levels, scale[:, None].astype(rows.dtype), out=error)
        error -= rows
        channel_error = np.einsum("ij,ij->i", error, error)
        better = channel_error <= least_error
        best_scale = np.where(better, scale, best_scale)
        least_error = np.where(better, channel_error, least_error)
    return _round(rows, best_scale, bound_pairs, levels).astype(np.int8), best_scale


def _round(rows: np.ndarray, scales: np.ndarray, bound_pairs: bool, out: np.ndarray) -> np.ndarray:
    np.multiply(rows, (1 / scales)[:, None].astype(rows.dtype), out=out)
    np.rint(out, out=out)
    np.clip(out, -MAX_WEIGHT, MAX_WEIGHT, out=out)
    if bound_pairs:
        _fit_pairs(out)
    return out


def _fit_pairs(quantized: np.ndarray) -> None:
    """Reduces pairs whose absolute sum exceeds MAX_PAIR_SUM, in place, by half the excess each."""
    length = quantized.shape[1] // 2 * 2
    first, second = quantized[:, 0:length:2], quantized[:, 1:length:2]
    excess = np.maximum(np.abs(first + second) - MAX_PAIR_SUM, 0)
    first -= np.sign(first) * np.ceil(excess / 2)
    second -= np.sign(second) * np.floor(excess / 2)
