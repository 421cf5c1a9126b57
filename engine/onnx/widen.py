"""Conversion of models stored in another float type to float32, from which all builds start."""

from __future__ import annotations

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

from engine.onnx import graph_io

OTHER_FLOATS = {
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
}
_WEIGHTED_OPS = frozenset({"Conv", "Gemm", "MatMul"})


def to_float32(model: ModelProto) -> str | None:
    """Converts a model with float16, bfloat16 or float64 weights to float32, in place.

    Returns the name of the original type; None where nothing changed. float16 and bfloat16 weights
    keep their exact values; sums are then accumulated in float32.
    """
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in _WEIGHTED_OPS]
    weight_types = {types.get(name, 0) for node in layers for name in node.input[1:2]}
    other = next((type_ for type_ in OTHER_FLOATS if type_ in weight_types), None)
    if other is None:
        return None
    _widen(model.graph)
    return OTHER_FLOATS[other]


def widened_type(type_: int) -> int:
    """float32 for another float type; all other types unchanged."""
    return int(TensorProto.FLOAT) if type_ in OTHER_FLOATS else type_


def _widen(graph: GraphProto) -> None:
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in OTHER_FLOATS:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            elif attribute.name in ("to", "dtype") and attribute.i in OTHER_FLOATS:
                attribute.CopyFrom(helper.make_attribute(attribute.name, int(TensorProto.FLOAT)))
        for inner in graph_io.subgraphs_of(node):
            _widen(inner)


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in OTHER_FLOATS:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
