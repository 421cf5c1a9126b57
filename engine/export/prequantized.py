"""ONNX files that come quantized: how many layers, and whether 16 bits hold their sums.

Such a file is taken as it is. But it has to be known: its speed and accuracy are not those of fp32,
and on a processor without VNNI the fast kernels overflow on weights of full 8 bits.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, numpy_helper

from engine.store.manifest import Prequantized

WEIGHTS_OF = {
    "QLinearConv": 3,
    "QLinearMatMul": 3,
    "QGemm": 3,
    "ConvInteger": 1,
    "MatMulInteger": 1,
}
"""Which input of an integer operator has the weights."""
WEIGHTED = frozenset({"Conv", "Gemm", "MatMul", "ConvTranspose"})
LARGEST_IN_PAIRS = 64
"""Two products of weights up to this with unsigned 8-bit values fit 16 bits."""


def quantized(model: ModelProto) -> Prequantized | None:
    """`layers` in integers of all `of` layers, and whether it `overflows`; None where none is."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    stored: list[str] = []
    layers = 0
    for node in model.graph.node:
        layers += node.op_type in WEIGHTS_OF or node.op_type in WEIGHTED
        if node.op_type in WEIGHTS_OF:
            stored.append(node.input[WEIGHTS_OF[node.op_type]])
        elif node.op_type in WEIGHTED and node.input[1] in makers:
            maker = makers[node.input[1]]
            if maker.op_type == "DequantizeLinear":
                stored.append(maker.input[0])
    if not stored:
        return None
    weights = [numpy_helper.to_array(constants[name]) for name in stored if name in constants]
    return Prequantized(layers=len(stored), of=layers, overflows=any(map(_is_wide, weights)))


def _is_wide(weights: np.ndarray) -> bool:
    wide = weights.dtype == np.int8 and np.abs(weights.astype(np.int16)).max(initial=0)
    return bool(wide > LARGEST_IN_PAIRS)
