"""HardSwish in integers: its gate becomes a convolution that saturates.

ONNX Runtime has no quantized HardSigmoid; left in float it costs a dequantized feature map at every
activation. clip(alpha x + beta, 0, 1) is a depthwise 1x1 convolution whose 8-bit output saturates
at 0 and 1 by itself, so x * gate(x) runs as QLinearConv and QLinearMul.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.build.int8.equalization.apply_scales import UNSCALED
from engine.onnx import graph_io
from engine.onnx.graph_view import GraphView, attributes_of, view_of

LINE = "/line"
MAP = (None, None, None, None)
"""The shape of a feature map; tokens (n, tokens, c) have no convolution."""


def split_hard_swish(model: ModelProto) -> int:
    """HardSwish becomes HardSigmoid and Mul, in place; returns how many there were."""
    nodes: list[NodeProto] = []
    found = 0
    for node in model.graph.node:
        if node.op_type != "HardSwish":
            nodes.append(node)
            continue
        gate = f"{node.output[0]}/gate"
        x = node.input[0]
        nodes.append(helper.make_node("HardSigmoid", [x], [gate], name=gate, alpha=1 / 6, beta=0.5))
        nodes.append(helper.make_node("Mul", [x, gate], list(node.output), name=node.name))
        found += 1
    graph_io.set_nodes(model.graph, nodes)
    return found


def hard_gates_to_convolutions(model: ModelProto, kept: frozenset[str] = frozenset()) -> int:
    """HardSigmoid gates of feature maps become convolution and Clip, in place; returns how many.

    A division that equalization put in front is taken into the convolution. Vectors, as in SE
    branches and heads, stay as they are: they cost nothing in float. So do the gates of tensors in
    `kept`, which are made in float.
    """
    view = view_of(model)
    nodes: list[NodeProto] = []
    dropped: set[str] = set()
    found = 0
    for node in model.graph.node:
        x = node.input[0]
        divided = x.endswith(UNSCALED)
        wanted = node.op_type == "HardSigmoid" and (divided or not view.is_vector(x))
        wanted = wanted and x not in kept and len(view.shapes.get(x, MAP)) == len(MAP)
        made = _convolution(model, node, view) if wanted else None
        if made is None:
            nodes.append(node)
            continue
        nodes.extend(made[0])
        dropped.add(made[1])
        found += 1
    graph_io.set_nodes(model.graph, [node for node in nodes if node.output[0] not in dropped])
    return found


def _convolution(
    model: ModelProto, node: NodeProto, view: GraphView
) -> tuple[list[NodeProto], str] | None:
    """(nodes that take the place of a HardSigmoid, output of the division they take in)."""
    x, divisors, taken = node.input[0], np.ones(1), ""
    division = view.makers.get(x)
    if division is not None and x.endswith(UNSCALED):
        divisors, taken = view.constants[division.input[1]].reshape(-1), x
        x = division.input[0]
    channels = divisors.size if taken else view.channels(x)
    if not channels:
        return None
    attributes = attributes_of(node)
    alpha, beta = float(attributes.get("alpha", 0.2)), float(attributes.get("beta", 0.5))  # type: ignore[arg-type]
    output = node.output[0]
    weights = np.broadcast_to(divisors * alpha, (channels,)).reshape(-1, 1, 1, 1)
    constants = {
        f"{output}/weights": weights,
        f"{output}/bias": np.full(channels, beta),
        f"{output}/low": np.zeros(()),
        f"{output}/high": np.ones(()),
    }
    for name, value in constants.items():
        array = np.array(value, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    line = f"{output}{LINE}"
    nodes = [
        helper.make_node(
            "Conv",
            [x, f"{output}/weights", f"{output}/bias"],
            [line],
            name=line,
            group=channels,
            kernel_shape=[1, 1],
        ),
        helper.make_node(
            "Clip", [line, f"{output}/low", f"{output}/high"], [output], name=f"{output}/clip"
        ),
    ]
    return nodes, taken
