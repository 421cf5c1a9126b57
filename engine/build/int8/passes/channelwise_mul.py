"""Channel factors as Mul, for runtimes that fuse a Mul into the kernel before it."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.build.int8.equalization.apply_scales import UNSCALED
from engine.onnx.graph_view import view_of


def unscaling_to_mul(model: ModelProto) -> int:
    """Replaces the depthwise 1x1 convolutions that equalization adds before gates by Mul, in place.

    They are convolutions because hard_gates_to_convolutions merges them into the gate. Where that
    pass does not run, each would be a separate kernel. Returns the number of nodes rewritten.
    """
    constants = view_of(model).constants
    rewritten = 0
    for node in model.graph.node:
        if node.op_type == "Conv" and node.output[0].endswith(UNSCALED):
            factors = constants[node.input[1]].reshape(1, -1, 1, 1)
            name = f"{node.output[0]}/factors"
            model.graph.initializer.append(numpy_helper.from_array(factors, name))
            node.CopyFrom(_mul(node, name))
            rewritten += 1
    return rewritten


def _mul(node: NodeProto, factors: str) -> NodeProto:
    inputs = [node.input[0], factors]
    return helper.make_node("Mul", inputs, list(node.output), name=node.name)
