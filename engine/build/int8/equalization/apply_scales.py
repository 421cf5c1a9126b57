"""Writes factors of channels into a graph, so that it computes what it did.

A tensor takes its factors from the weights that make it, and the weights that read it take them
back. In between they pass through gates, which are told, and where nothing can absorb them a
product by channel is put in.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.build.int8.equalization.channel_groups import ABSORBING, Links, SelfGate
from engine.onnx.graph_view import GraphView, attributes_of, group_of

SCALED, UNSCALED = "/scaled", "/unscaled"

Factors = dict[str, np.ndarray]


def scaled_name(tensor: str) -> str:
    """The product of a tensor by the factors of its channels."""
    return f"{tensor}{SCALED}"


def unscaled_name(gate: SelfGate) -> str:
    """What a gate reads once the factors of its channels are undone."""
    return f"{gate.gate.output[0]}{UNSCALED}"


def scale_channels(model: ModelProto, view: GraphView, links: Links, factors: Factors) -> None:
    """Multiplies the channels of each tensor in place; what reads it takes the factors back."""
    graph = model.graph
    before: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        if node.op_type in ABSORBING and node.input[1] in view.constants:
            _absorb(model, node, view, factors)
    for gate in links.self_gates:
        if (factor := factors.get(gate.x)) is not None:
            before[gate.gate.output[0]] = [_divide(model, gate, factor)]
    replaced: list[tuple[str, NodeProto]] = []
    ones = np.ones(1)
    for gated in links.excitations:
        ratio = factors.get(gated.y, ones) / factors.get(gated.x, ones)
        replaced += _scale(model, gated.gate, ratio, view)
    for tensor in links.freed:
        replaced += _scale(model, tensor, factors.get(tensor, ones), view)
    nodes = [made for node in graph.node for made in (*before.get(node.output[0], []), node)]
    for position, added in replaced:
        at = next(i for i, node in enumerate(nodes) if position in node.output)
        nodes.insert(at + 1, added)
    ordered = [_copy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)
    _drop_unused(model)


def _copy(node: NodeProto) -> NodeProto:
    copied = NodeProto()
    copied.CopyFrom(node)
    return copied


def _absorb(model: ModelProto, node: NodeProto, view: GraphView, factors: Factors) -> None:
    """Weights take 1 / factor of what they read, and weights and bias the factor of the output."""
    incoming, outgoing = factors.get(node.input[0]), factors.get(node.output[0])
    if incoming is None and outgoing is None:
        return
    weights = grouped_weights(node, view)
    groups, outputs, inputs, _ = weights.shape
    if incoming is not None:
        weights = weights / incoming.reshape(groups, 1, inputs, 1)
    if outgoing is not None:
        weights = weights * outgoing.reshape(groups, outputs, 1, 1)
        if len(node.input) > 2:
            bias = view.constants[node.input[2]] * outgoing
            node.input[2] = _constant(model, f"{node.output[0]}/bias", bias)
    original = view.constants[node.input[1]]
    transposed = node.op_type == "Gemm" and not attributes_of(node).get("transB", 0)
    shaped = weights[0, :, :, 0].T if transposed else weights.reshape(original.shape)
    node.input[1] = _constant(model, f"{node.output[0]}/weights", shaped)


def _divide(model: ModelProto, gate: SelfGate, factor: np.ndarray) -> NodeProto:
    """x' / a in front of a gate: a depthwise 1x1 convolution."""
    name = unscaled_name(gate)
    weights = _constant(model, f"{name}/weights", (1 / factor).reshape(-1, 1, 1, 1))
    node = helper.make_node(
        "Conv", [gate.x, weights], [name], name=name, group=len(factor), kernel_shape=[1, 1]
    )
    gate.gate.input[0] = name
    return node


def _scale(
    model: ModelProto, tensor: str, factor: np.ndarray, view: GraphView
) -> Iterable[tuple[str, NodeProto]]:
    """A product by channel behind a tensor that is made in float; its readers take that."""
    if np.allclose(factor, 1):
        return []
    name = scaled_name(tensor)
    constant = _constant(model, f"{name}/factors", factor.reshape(1, -1, 1, 1))
    for reader in view.readers[tensor]:
        reader.input[:] = [name if given == tensor else given for given in reader.input]
    return [(tensor, helper.make_node("Mul", [tensor, constant], [name], name=name))]


def _constant(model: ModelProto, name: str, value: np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    return name


def _drop_unused(model: ModelProto) -> None:
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def grouped_weights(node: NodeProto, view: GraphView) -> np.ndarray:
    """A layer's weights as float64 (groups, outputs a group, inputs a group, taps)."""
    weights = view.constants[node.input[1]].astype(np.float64)
    if node.op_type == "Gemm":
        rows = weights if attributes_of(node).get("transB", 0) else weights.T
        return rows[None, :, :, None]
    groups = group_of(node)
    return weights.reshape(groups, weights.shape[0] // groups, weights.shape[1], -1)
