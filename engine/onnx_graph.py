"""Small operations on ONNX graphs that exports and builds share."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from engine.errors import ExportFailed
from engine.files import disk_space

INPUT, OUTPUT, BATCH = "input", "logits", "batch"
MAX_ONE_FILE_BYTES = 2_000_000_000


def save(model: ModelProto, path: Path) -> None:
    """Writes one self-contained file. Raises ExportFailed over 2 GB, StorageFull on a full disk."""
    size = model.ByteSize()
    if size > MAX_ONE_FILE_BYTES:
        raise ExportFailed(f"The model has {size / 1e9:.1f} GB; one ONNX file holds at most 2 GB.")
    with disk_space(path.parent):
        onnx.save(model, path)


def append_softmax(path: Path) -> None:
    """Ends a stored classifier in a Softmax over its classes, in float32, under the same name."""
    model = onnx.load(path)
    scores = model.graph.output[0].name
    rename = f"{scores}_before_softmax"
    for node in model.graph.node:
        node.input[:] = [rename if name == scores else name for name in node.input]
        node.output[:] = [rename if name == scores else name for name in node.output]
    node = onnx.helper.make_node("Softmax", [rename], [scores], name="appended_softmax", axis=1)
    model.graph.node.append(node)
    save(model, path)


def strip_origins(model: ModelProto) -> None:
    """Removes what exporters write about the machine they ran on: stack traces, local paths."""
    del model.metadata_props[:]
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        value.doc_string = ""


def opset_of(model: ModelProto) -> int:
    """The version of the standard operator set the graph is written in."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def rename_tensor(model: ModelProto, old: str, new: str) -> None:
    """Renames a tensor wherever it is produced or consumed; a name already taken is refused."""
    if old == new:
        return
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {initializer.name for initializer in graph.initializer}
    if new in taken:
        raise ExportFailed(f"The graph already has a tensor named {new!r} that is not its {old!r}.")
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name == old:
            value.name = new
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def shape_of(value: onnx.ValueInfoProto) -> list[int | None]:
    """The dimensions of a tensor; None where they are open."""
    dimensions = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else None for d in dimensions]


def is_float32(value: onnx.ValueInfoProto) -> bool:
    """Whether a tensor holds float32 values."""
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)
