"""Factors of channels as products, where a runtime joins those to the kernel before them."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.build.int8.equalization.apply_scales import UNSCALED
from engine.onnx.graph_view import view_of


def unscaling_as_products(model: ModelProto) -> int:
    """The depthwise 1x1 convolutions that equalization puts before gates become Mul, in place.

    They are convolutions for the gates that saturate; without those each would be a kernel of its
    own. Returns how many there were.
    """
    constants = view_of(model).constants
    found = 0
    for node in model.graph.node:
        if node.op_type == "Conv" and node.output[0].endswith(UNSCALED):
            factors = constants[node.input[1]].reshape(1, -1, 1, 1)
            name = f"{node.output[0]}/factors"
            model.graph.initializer.append(numpy_helper.from_array(factors, name))
            node.CopyFrom(_product(node, name))
            found += 1
    return found


def _product(node: NodeProto, factors: str) -> NodeProto:
    inputs = [node.input[0], factors]
    return helper.make_node("Mul", inputs, list(node.output), name=node.name)
