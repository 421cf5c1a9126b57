"""Rewrites the SE squeeze as GlobalAveragePool, which has an integer kernel."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

SPATIAL = ({2, 3}, {-2, -1})


def squeeze_to_global_pool(model: ModelProto) -> int:
    """Replaces ReduceMean over height and width (dimensions kept) by GlobalAveragePool, in place.

    The SE squeeze is exported as ReduceMean, which has no integer kernel in ONNX Runtime, so each
    one would dequantize and quantize a whole feature map. Returns the number of nodes rewritten.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    rewritten = 0
    for node in model.graph.node:
        if node.op_type == "ReduceMean" and _is_squeeze(node, constants):
            pooled = helper.make_node(
                "GlobalAveragePool", [node.input[0]], [node.output[0]], name=node.name
            )
            node.CopyFrom(pooled)
            rewritten += 1
    return rewritten


def _is_squeeze(node: NodeProto, constants: dict[str, object]) -> bool:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axes = attributes.get("axes")
    if len(node.input) > 1 and node.input[1] in constants:
        axes = numpy_helper.to_array(constants[node.input[1]]).tolist()  # type: ignore[arg-type]
    spatial = axes is not None and set(np.asarray(axes).tolist()) in SPATIAL
    return bool(attributes.get("keepdims", 1)) and spatial
