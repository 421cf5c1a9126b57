"""HardSwish in integers: its gate becomes a convolution whose output saturates.

ONNX Runtime has no integer HardSigmoid; in float, each one needs a dequantized feature map. The
gate clip(alpha x + beta, 0, 1) is a depthwise 1x1 convolution whose 8-bit output saturates at 0 and
1, so x * gate(x) runs as QLinearConv and QLinearMul.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.build.int8.equalization.apply_scales import UNSCALED
from engine.onnx import graph_io
from engine.onnx.graph_view import GraphView, attributes_of, view_of

GATE_LINE = "/line"
FEATURE_MAP_SHAPE = (None, None, None, None)
"""A feature map has four dimensions; tokens (n, tokens, c) cannot be convolved."""


def split_hard_swish(model: ModelProto) -> int:
    """Replaces HardSwish by HardSigmoid and Mul, in place; returns the number of rewrites."""
    nodes: list[NodeProto] = []
    rewritten = 0
    for node in model.graph.node:
        if node.op_type != "HardSwish":
            nodes.append(node)
            continue
        gate = f"{node.output[0]}/gate"
        x = node.input[0]
        nodes.append(helper.make_node("HardSigmoid", [x], [gate], name=gate, alpha=1 / 6, beta=0.5))
        nodes.append(helper.make_node("Mul", [x, gate], list(node.output), name=node.name))
        rewritten += 1
    graph_io.set_nodes(model.graph, nodes)
    return rewritten


def hard_gates_to_convolutions(
    model: ModelProto, excluded_layers: frozenset[str] = frozenset()
) -> int:
    """Replaces HardSigmoid gates of feature maps by convolution and Clip, in place.

    An unscaling convolution that equalization put before the gate is merged into it. Gates of
    vectors (SE branches, heads) stay in float, where they cost nothing, and so do gates that read
    the output of a layer in `excluded_layers`. Returns the number of gates rewritten.
    """
    view = view_of(model)
    nodes: list[NodeProto] = []
    merged: set[str] = set()
    rewritten = 0
    for node in model.graph.node:
        x = node.input[0]
        unscaled = x.endswith(UNSCALED)
        eligible = node.op_type == "HardSigmoid" and (unscaled or not view.is_vector(x))
        eligible = (
            eligible
            and x not in excluded_layers
            and len(view.shapes.get(x, FEATURE_MAP_SHAPE)) == len(FEATURE_MAP_SHAPE)
        )
        replacement = _gate_as_convolution(model, node, view) if eligible else None
        if replacement is None:
            nodes.append(node)
            continue
        nodes.extend(replacement[0])
        merged.add(replacement[1])
        rewritten += 1
    graph_io.set_nodes(model.graph, [node for node in nodes if node.output[0] not in merged])
    return rewritten


def _gate_as_convolution(
    model: ModelProto, node: NodeProto, view: GraphView
) -> tuple[list[NodeProto], str] | None:
    """(nodes that replace a HardSigmoid, output of the unscaling convolution merged into them)."""
    x, divisors, merged_output = node.input[0], np.ones(1), ""
    unscaling = view.producers.get(x)
    if unscaling is not None and x.endswith(UNSCALED):
        divisors, merged_output = view.constants[unscaling.input[1]].reshape(-1), x
        x = unscaling.input[0]
    channels = divisors.size if merged_output else view.channels(x)
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
    line = f"{output}{GATE_LINE}"
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
    return nodes, merged_output
