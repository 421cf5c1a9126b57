"""ONNX files that are already quantized: quantized layers, and whether their sums can overflow.

Such a file is imported unchanged. It must be recognized, because its speed and accuracy are not
those of fp32, and because the fast kernels of processors without VNNI overflow on full 8-bit
weights.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, numpy_helper

from engine.store.manifest import Prequantized

WEIGHT_INPUT = {
    "QLinearConv": 3,
    "QLinearMatMul": 3,
    "QGemm": 3,
    "ConvInteger": 1,
    "MatMulInteger": 1,
}
"""Position of the weights among the inputs of an integer operator."""
WEIGHTED_OPS = frozenset({"Conv", "Gemm", "MatMul", "ConvTranspose"})
MAX_PAIRED_WEIGHT = 64
"""Largest absolute weight for which the sum of two u8 x s8 products fits in 16 bits."""


def quantization_summary(model: ModelProto) -> Prequantized | None:
    """Summary for the manifest: quantized `layers` of all (`of`), `overflows`; None for float."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    weight_names: list[str] = []
    layers = 0
    for node in model.graph.node:
        layers += node.op_type in WEIGHT_INPUT or node.op_type in WEIGHTED_OPS
        if node.op_type in WEIGHT_INPUT:
            weight_names.append(node.input[WEIGHT_INPUT[node.op_type]])
        elif node.op_type in WEIGHTED_OPS and node.input[1] in producers:
            producer = producers[node.input[1]]
            if producer.op_type == "DequantizeLinear":
                weight_names.append(producer.input[0])
    if not weight_names:
        return None
    weights = [numpy_helper.to_array(constants[name]) for name in weight_names if name in constants]
    overflows = any(map(_exceeds_pair_limit, weights))
    return Prequantized(layers=len(weight_names), of=layers, overflows=overflows)


def _exceeds_pair_limit(weights: np.ndarray) -> bool:
    largest = weights.dtype == np.int8 and np.abs(weights.astype(np.int16)).max(initial=0)
    return bool(largest > MAX_PAIRED_WEIGHT)
