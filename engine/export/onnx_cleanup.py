"""Cleans graphs of other converters: the same values with fewer nodes.

Constant nodes become initializers and Identity nodes are removed, because shape inference, which
counting MACs needs, does not propagate values through them.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.onnx import graph_io

_VALUES: dict[str, type] = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
"""The attributes of a Constant node that hold plain numbers, with their types."""


def clean_graph(model: ModelProto) -> None:
    """Lifts constants; drops identities where the graph has no subgraphs.

    Subgraphs use tensors of the outer graph by name, so that no name may disappear.
    """
    lift_constants(model.graph)
    if not graph_io.has_subgraphs(model.graph):
        drop_identities(model.graph)


def lift_constants(graph: GraphProto) -> None:
    """Turns Constant nodes with numbers into initializers."""
    lifted = set()
    for node in graph.node:
        tensor = _constant_of(node) if node.op_type == "Constant" else None
        if tensor is not None:
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
            lifted.add(node.output[0])
    _remove(graph, lifted)


def _constant_of(node: NodeProto) -> TensorProto | None:
    for attribute in node.attribute:
        if attribute.name == "value":
            return attribute.t
        if attribute.name in _VALUES:
            value = helper.get_attribute_value(attribute)
            return numpy_helper.from_array(np.array(value, _VALUES[attribute.name]))
    return None


def drop_identities(graph: GraphProto) -> None:
    """Removes Identity nodes; their consumers read the input of the Identity."""
    outside = {value.name for value in (*graph.input, *graph.initializer)}
    sources: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        node.input[:] = [sources.get(name, name) for name in node.input]
        # An output of the graph cannot be one of its inputs.
        ends = node.op_type == "Identity" and node.output[0] in outputs
        if node.op_type == "Identity" and not (ends and node.input[0] in outside):
            sources[node.output[0]] = node.input[0]
    for value in graph.output:
        value.name = sources.get(value.name, value.name)
    _remove(graph, set(sources))


def _remove(graph: GraphProto, names: set[str]) -> None:
    """Removes the nodes whose first output is among `names`."""
    if names:
        graph_io.set_nodes(graph, [node for node in graph.node if node.output[0] not in names])
