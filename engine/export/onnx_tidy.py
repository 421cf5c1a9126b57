"""Graphs of other converters brought into the form of our own: the same values, fewer nodes.

Weights as Constant nodes become initialisers, and Identity nodes go: shape inference does not see
values through them, and without it no MACs are counted.
"""

from __future__ import annotations

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

SUBGRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def tidy(model: ModelProto) -> None:
    """Lifts constants and drops identities; a graph with subgraphs is left as it is.

    Subgraphs use the outer graph's tensors by name, so that no name may disappear.
    """
    graph = model.graph
    if any(a.type in SUBGRAPHS for node in graph.node for a in node.attribute):
        return
    lift_constants(graph)
    drop_identities(graph)


def lift_constants(graph: GraphProto) -> None:
    """Turns Constant nodes that hold a tensor into initialisers."""
    lifted = set()
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            value.name = node.output[0]
            graph.initializer.append(value)
            lifted.add(node.output[0])
    _remove(graph, lifted)


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
    kept = [node for node in graph.node if node.output[0] not in names]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
