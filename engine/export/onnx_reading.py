"""Reads an ONNX file of any origin, or raises an error that names what the file is instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, inliner, numpy_helper

from engine.errors import CheckpointRejected, ExportFailed
from engine.onnx import graph_io
from engine.runtimes.onnxruntime import newest_opset, operators
from engine.text import first_line

MAX_NAME_BYTES = 255
"""Maximum length of a file name in bytes, on common file systems."""

# (offset, magic bytes, format, way out)
_OTHER_FORMATS: tuple[tuple[int, bytes, str, str], ...] = (
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the model itself",
        "fetch the file with `git lfs pull`",
    ),
    (4, b"ORTM", "an .ort file of ONNX Runtime", "use the .onnx file that it was made from"),
    (4, b"TFL3", "a TFLite model", "convert it to ONNX first"),
    (0, b"PK", "a zip archive", "unpack it, or use a checkpoint with its own model"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it"),
    (0, b"<", "a web page or XML", "download the file itself"),
    (0, b"\x80\x02", "a Python pickle", "use a checkpoint with its own model"),
    (0, b"\x89HDF", "an HDF5 file", "convert it to ONNX first"),
)


def load_onnx(path: Path) -> ModelProto:
    """Reads a file with its external data; inlines local functions, sorts nodes, and makes sparse
    weights dense.

    Raises CheckpointRejected for a file that is not an ONNX model, ExportFailed for one that this
    ONNX Runtime cannot run because of a newer opset or missing operators.
    """
    _refuse_other_formats(path)
    # onnx.load restricts external data to the folder of the file.
    try:
        proto = onnx.load(path, load_external_data=False)
        _refuse_unusable_locations(proto, path)
        onnx.load_external_data_for_model(proto, str(path.parent))
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        raise CheckpointRejected(
            f"{path.name} is not a valid ONNX model: {first_line(error)}"
        ) from (error)
    if not proto.graph.node:
        raise CheckpointRejected(f"{path.name} is not a valid ONNX model: it has no layers.")
    if not all(isinstance(name, str) for name in _names(proto)):  # bytes where a name is not UTF-8
        raise CheckpointRejected(f"{path.name} is not a valid ONNX model: a name is not text.")
    _refuse_newer_opset(proto, path)
    _refuse_unknown_operators(proto, path)
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    _fill_sparse_weights(proto.graph)
    graph_io.sort_nodes(proto.graph)
    return proto


def _fill_sparse_weights(graph: GraphProto) -> None:
    """Replaces sparse weights by dense ones, because neither the opset converter nor the tools here
    can read sparse ones."""
    for sparse in graph.sparse_initializer:
        values = numpy_helper.to_array(sparse.values)
        indices, shape = numpy_helper.to_array(sparse.indices), tuple(sparse.dims)
        full = np.zeros(shape, values.dtype)
        full[tuple(indices.T) if indices.ndim == 2 else np.unravel_index(indices, shape)] = values
        graph.initializer.append(numpy_helper.from_array(full, sparse.values.name))
    del graph.sparse_initializer[:]


def _names(proto: ModelProto) -> Iterator[object]:
    graph = proto.graph
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        yield value.name
    for node in _all_nodes(graph):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)


def _refuse_other_formats(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointRejected(f"{path.name} cannot be read: {error.strerror}.") from error
    if not head:
        raise CheckpointRejected(f"{path.name} is empty: copy the file again.")
    for offset, magic, what, way_out in _OTHER_FORMATS:
        if head[offset : offset + len(magic)] == magic:
            raise CheckpointRejected(f"{path.name} is {what}: {way_out}.")


def _refuse_unusable_locations(proto: ModelProto, path: Path) -> None:
    """Raises CheckpointRejected where external weights have an invalid name or are missing."""
    for tensor in proto.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if any(len(part.encode()) > MAX_NAME_BYTES for part in location.split("/")):
            raise CheckpointRejected(
                f"{path.name} keeps its weights in a file whose name has {len(location)} "
                f"characters ({location[:40]}...), which is too long for a file system: save the "
                f"model again in one file."
            )
        confined = not Path(location).is_absolute() and ".." not in Path(location).parts
        if confined and not (path.parent / location).is_file():
            raise CheckpointRejected(
                f"{path.name} keeps its weights in {location!r}, which is missing: put that file "
                f"into {path.parent}, or save the model again in one file."
            )


def _refuse_newer_opset(proto: ModelProto, path: Path) -> None:
    written, newest = graph_io.opset_of(proto), newest_opset()
    if not 1 <= written <= newest:
        raise ExportFailed(
            f"{path.name} uses opset {written}, and this ONNX Runtime supports opsets up to "
            f"{newest}: export it again with opset {newest} or older."
        )


def _refuse_unknown_operators(proto: ModelProto, path: Path) -> None:
    own = {(function.domain, function.name) for function in proto.functions}
    graphs: list[GraphProto] = [proto.graph]
    nodes: list[NodeProto] = [node for graph in graphs for node in _all_nodes(graph)]
    nodes += [node for function in proto.functions for node in function.node]
    for node in nodes:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (domain, node.op_type) in own or (domain, node.op_type) in operators():
            continue
        where = f"of the domain {node.domain!r}" if domain else "which is not in the standard"
        raise ExportFailed(
            f"{path.name} uses the operator {node.op_type!r} {where}; this ONNX Runtime does not "
            f"have it: export the network with standard operators."
        )


def _all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for inner in graph_io.subgraphs_of(node):
            yield from _all_nodes(inner)
