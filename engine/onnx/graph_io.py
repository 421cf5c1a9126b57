"""Operations on ONNX graphs that exports and builds share: save, rename, sort, prune."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import count
from math import prod
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from engine.common.files import disk_full_as_error
from engine.errors import ExportFailed
from engine.onnx.merged_groups import mark_merged, merged_factor

INPUT, OUTPUT, BATCH = "input", "logits", "batch"
MAX_ONE_FILE_BYTES = 2_000_000_000
MAX_SHAPE_VALUES = 64
"""Largest constant, in elements, whose values shape inference may need (target of a Reshape)."""


def save(model: ModelProto, path: Path) -> None:
    """Writes one self-contained file. Raises ExportFailed over 2 GB, StorageFull on a full disk."""
    size = model.ByteSize()
    if size > MAX_ONE_FILE_BYTES:
        raise ExportFailed(f"The model is {size / 1e9:.1f} GB; one ONNX file holds at most 2 GB.")
    with disk_full_as_error(path.parent):
        onnx.save(model, path)


def append_softmax(path: Path) -> None:
    """Appends a float32 Softmax over the classes to a stored model; the output keeps its name."""
    model = onnx.load(path)
    scores = model.graph.output[0].name
    rename = f"{scores}_before_softmax"
    for node in model.graph.node:
        node.input[:] = [rename if name == scores else name for name in node.input]
        node.output[:] = [rename if name == scores else name for name in node.output]
    node = onnx.helper.make_node("Softmax", [rename], [scores], name="appended_softmax", axis=1)
    model.graph.node.append(node)
    save(model, path)


def strip_exporter_metadata(model: ModelProto) -> None:
    """Removes metadata that exporters write about their machine: stack traces, local paths.

    The mark of merged groups stays: without it, zeros would be counted.
    """
    del model.metadata_props[:]
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        factor = merged_factor(node)
        del node.metadata_props[:]
        if factor > 1:
            mark_merged(node, factor)
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        value.doc_string = ""


def count_outputs(path: Path) -> int:
    """Number of outputs that a file declares; 0 for a file that is not an ONNX model."""
    try:
        return len(onnx.load(path, load_external_data=False).graph.output)
    except (DecodeError, OSError, ValueError):
        return 0


def opset_of(model: ModelProto) -> int:
    """The version of the standard operator set (opset) of a model; 0 where none is declared."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def subgraphs_of(node: NodeProto) -> Iterator[GraphProto]:
    """The subgraphs of a node: branches of an If, bodies of a Loop or Scan."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def has_subgraphs(graph: GraphProto) -> bool:
    """Whether any node has a subgraph."""
    return any(True for node in graph.node for _ in subgraphs_of(node))


def tensor_names(graph: GraphProto) -> set[str]:
    """All tensor names in a graph, including those in its subgraphs."""
    values = (*graph.input, *graph.output, *graph.value_info)
    names = {value.name for value in values} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        names.update(node.input)
        names.update(node.output)
        for inner in subgraphs_of(node):
            names |= tensor_names(inner)
    return names


def rename_tensor(model: ModelProto, old: str, new: str) -> None:
    """Renames a tensor everywhere, subgraphs included.

    Another tensor that already has the new name gets a free one.
    """
    if old == new:
        return
    used_names = tensor_names(model.graph)
    if new in used_names:
        number = next(n for n in count(1) if f"{new}_{n}" not in used_names)
        _rename(model.graph, {new: f"{new}_{number}"})
    _rename(model.graph, {old: new})


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for annotation in graph.quantization_annotation:
        annotation.tensor_name = names.get(annotation.tensor_name, annotation.tensor_name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in subgraphs_of(node):
            _rename(inner, names)


def input_names_of(node: NodeProto) -> set[str]:
    """Names of all tensors that a node reads, including those used inside its subgraphs."""
    names = {name for name in node.input if name}
    for inner in subgraphs_of(node):
        names |= tensor_names(inner)
    return names


def sort_nodes(graph: GraphProto) -> None:
    """Sorts the nodes topologically, in place: some converters append nodes at the end.

    Raises ExportFailed for an invalid graph: a node without an output, or a cycle.
    """
    if not all(node.output for node in graph.node):
        raise ExportFailed("The graph has a node without an output, so it is not valid ONNX.")
    nodes = list(graph.node)
    producers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = {
        index: {producers[name] for name in input_names_of(node) if name in producers} - {index}
        for index, node in enumerate(nodes)
    }
    if all(before < index for index, befores in needs.items() for before in befores):
        return
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise ExportFailed("The graph has a cycle, so it is not valid ONNX.") from error
    set_nodes(graph, [nodes[index] for index in order])


def set_nodes(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Replaces the nodes of a graph, in place, by copies of `nodes`, which may be its own."""
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def drop_stale_shapes(graph: GraphProto) -> None:
    """Removes the declared shapes of tensors that no node produces any more."""
    computed = {name for node in graph.node for name in node.output}
    used_nodes = [
        ValueInfoProto.FromString(v.SerializeToString())
        for v in graph.value_info
        if v.name in computed
    ]
    del graph.value_info[:]
    graph.value_info.extend(used_nodes)


def prune(graph: GraphProto) -> None:
    """Removes nodes and weights that no output of the graph depends on, in place."""
    needed = {value.name for value in graph.output}
    used_nodes: list[NodeProto] = []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            used_nodes.append(node)
            needed |= input_names_of(node)
    set_nodes(graph, reversed(used_nodes))
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    if len(weights) < len(graph.initializer):
        copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in weights]
        del graph.initializer[:]
        graph.initializer.extend(copies)


def shape_of(value: onnx.ValueInfoProto) -> list[int | None]:
    """The dimensions of a tensor; None for dynamic ones (also written as -1 or 0)."""
    dimensions = value.type.tensor_type.shape.dim
    return [d.dim_value if d.dim_value > 0 else None for d in dimensions]


def without_weights(model: ModelProto) -> ModelProto:
    """A copy whose large constants have no values, only shapes: enough for shape inference."""
    graph = model.graph
    light = onnx.helper.make_graph(
        graph.node, graph.name, graph.input, graph.output, value_info=graph.value_info
    )
    for tensor in graph.initializer:
        header = light.initializer.add()
        if prod(tensor.dims) <= MAX_SHAPE_VALUES:
            header.CopyFrom(tensor)
        else:
            header.name, header.data_type = tensor.name, tensor.data_type
            header.dims.extend(tensor.dims)
    return onnx.helper.make_model(
        light, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def is_float32(value: onnx.ValueInfoProto) -> bool:
    """Whether a tensor holds float32 values."""
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)
