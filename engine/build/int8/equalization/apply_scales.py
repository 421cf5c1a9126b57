"""Applies channel scale factors to a graph without changing what it computes.

The weights that produce a tensor are multiplied by its factors, the weights that read it are
divided by them. Gates in between get an unscaling convolution, and where no weights can absorb the
factors, a per-channel Mul is inserted.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.build.int8.equalization.channel_groups import ABSORBING_OPS, ChannelGroups, SelfGate
from engine.onnx.graph_view import GraphView, attributes_of, group_count

SCALED, UNSCALED = "/scaled", "/unscaled"

Factors = dict[str, np.ndarray]


def scaled_name(tensor: str) -> str:
    """Name of a tensor multiplied by its channel factors."""
    return f"{tensor}{SCALED}"


def unscaled_name(gate: SelfGate) -> str:
    """Name of the gate input after division by the channel factors."""
    return f"{gate.gate.output[0]}{UNSCALED}"


def apply_channel_scales(
    model: ModelProto, view: GraphView, groups: ChannelGroups, factors: Factors
) -> None:
    """Multiplies the channels of each tensor by its factors, in place; consumers divide by them."""
    graph = model.graph
    inserted_before: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        if node.op_type in ABSORBING_OPS and node.input[1] in view.constants:
            _absorb(model, node, view, factors)
    for gate in groups.self_gates:
        if (factor := factors.get(gate.x)) is not None:
            inserted_before[gate.gate.output[0]] = [_insert_unscaling(model, gate, factor)]
    inserted_after: list[tuple[str, NodeProto]] = []
    ones = np.ones(1)
    for excitation in groups.excitations:
        ratio = factors.get(excitation.y, ones) / factors.get(excitation.x, ones)
        inserted_after += _insert_scaling(model, excitation.gate, ratio, view)
    for tensor in groups.free_tensors:
        inserted_after += _insert_scaling(model, tensor, factors.get(tensor, ones), view)
    nodes = [
        inserted
        for node in graph.node
        for inserted in (*inserted_before.get(node.output[0], []), node)
    ]
    for tensor, added in inserted_after:
        index = next(i for i, node in enumerate(nodes) if tensor in node.output)
        nodes.insert(index + 1, added)
    ordered = [_copy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)
    _drop_unused(model)


def _copy(node: NodeProto) -> NodeProto:
    copied = NodeProto()
    copied.CopyFrom(node)
    return copied


def _absorb(model: ModelProto, node: NodeProto, view: GraphView, factors: Factors) -> None:
    """Divides weights by the input's factors; multiplies weights and bias by the output's."""
    input_factors, output_factors = factors.get(node.input[0]), factors.get(node.output[0])
    if input_factors is None and output_factors is None:
        return
    weights = grouped_weights(node, view)
    groups, outputs, inputs, _ = weights.shape
    if input_factors is not None:
        weights = weights / input_factors.reshape(groups, 1, inputs, 1)
    if output_factors is not None:
        weights = weights * output_factors.reshape(groups, outputs, 1, 1)
        if len(node.input) > 2:
            bias = view.constants[node.input[2]] * output_factors
            node.input[2] = _add_constant(model, f"{node.output[0]}/bias", bias)
    original = view.constants[node.input[1]]
    transposed = node.op_type == "Gemm" and not attributes_of(node).get("transB", 0)
    shaped = weights[0, :, :, 0].T if transposed else weights.reshape(original.shape)
    node.input[1] = _add_constant(model, f"{node.output[0]}/weights", shaped)


def _insert_unscaling(model: ModelProto, gate: SelfGate, factor: np.ndarray) -> NodeProto:
    """Inserts x' / a before a gate, as a depthwise 1x1 convolution."""
    name = unscaled_name(gate)
    weights = _add_constant(model, f"{name}/weights", (1 / factor).reshape(-1, 1, 1, 1))
    node = helper.make_node(
        "Conv", [gate.x, weights], [name], name=name, group=len(factor), kernel_shape=[1, 1]
    )
    gate.gate.input[0] = name
    return node


def _insert_scaling(
    model: ModelProto, tensor: str, factor: np.ndarray, view: GraphView
) -> Iterable[tuple[str, NodeProto]]:
    """Inserts a per-channel Mul after a float tensor; its consumers read the product."""
    if np.allclose(factor, 1):
        return []
    name = scaled_name(tensor)
    factor_name = _add_constant(model, f"{name}/factors", factor.reshape(1, -1, 1, 1))
    for consumer in view.consumers[tensor]:
        consumer.input[:] = [
            name if input_name == tensor else input_name for input_name in consumer.input
        ]
    return [(tensor, helper.make_node("Mul", [tensor, factor_name], [name], name=name))]


def _add_constant(model: ModelProto, name: str, value: np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    return name


def _drop_unused(model: ModelProto) -> None:
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    used_initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(used_initializers)


def grouped_weights(node: NodeProto, view: GraphView) -> np.ndarray:
    """Weights as float64 (groups, outputs per group, inputs per group, kernel positions)."""
    weights = view.constants[node.input[1]].astype(np.float64)
    if node.op_type == "Gemm":
        rows = weights if attributes_of(node).get("transB", 0) else weights.T
        return rows[None, :, :, None]
    groups = group_count(node)
    return weights.reshape(groups, weights.shape[0] // groups, weights.shape[1], -1)
