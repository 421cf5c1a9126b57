"""Graphs of other converters brought into the form of our own: the same values, fewer nodes.

Weights as Constant nodes become initialisers, and Identity nodes go: shape inference does not see
values through them, and without it no MACs are counted.
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
"""The attributes of a Constant that hold numbers and no tensor, with their type."""


def tidy(model: ModelProto) -> None:
    """Lifts constants and drops identities, those only where no node holds a graph of its own.

    Subgraphs use the outer graph's tensors by name, so that no name may disappear.
    """
    lift_constants(model.graph)
    if not graph_io.has_subgraphs(model.graph):
        drop_identities(model.graph)


def lift_constants(graph: GraphProto) -> None:
    """Turns Constant nodes that hold numbers into initialisers."""
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
    """Lets every reader of an Identity read what the Identity reads."""
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
