"""An ONNX graph reduced to what MAC counting needs: float operators, fixed shapes, no weights.

Quantized and fused operators are replaced by their float equivalents, so that one rule counts all
of them and standard shape inference also handles operators that it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    ValueInfoProto,
    helper,
    inliner,
    shape_inference,
)

from engine.errors import ArtifactMissing, CheckpointRejected, ExportFailed
from engine.onnx import graph_io

Shape = tuple[int, ...]

# Operator -> its float equivalent, and the positions of the inputs that it takes.
_FLOAT_FORMS: dict[str, tuple[str, tuple[int, ...]]] = {
    "ConvInteger": ("Conv", (0, 1)),
    "FusedConv": ("Conv", (0, 1, 2)),
    "MatMulInteger": ("MatMul", (0, 1)),
    "QGemm": ("Gemm", (0, 3, 6)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearConv": ("Conv", (0, 3, 8)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearMatMul": ("MatMul", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearSigmoid": ("Sigmoid", (0,)),
}

# In com.microsoft these have the standard inputs; only the domain hides them from inference.
_STANDARD_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})

# Largest constant, in elements, whose values shape inference may need (target of a Reshape).
_MAX_SHAPE_VALUES = 256


class ShapeUnknown(Exception):
    """MACs cannot be counted; the message is the reason, a part of a sentence."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Nodes as float operators in topological order, tensor shapes, constants, batch size."""

    nodes: list[NodeProto]
    shapes: dict[str, Shape]
    constants: frozenset[str]
    batch: int

    def shape(self, name: str, node: NodeProto) -> Shape:
        """The shape of a tensor that `node` reads or produces; raises ShapeUnknown."""
        if name not in self.shapes:
            raise ShapeUnknown(
                f"the shape of {name!r} at node {node_label(node)} is not known, so "
                f"multiply-accumulates are not counted"
            )
        return self.shapes[name]


def node_label(node: NodeProto) -> str:
    """A node in messages: its name, else its first output, and its operator."""
    return f"{node.name or next(iter(node.output), '')!r} ({node.op_type})"


def load_graph(path: Path) -> ModelProto:
    """Reads an ONNX file without its external data.

    Raises ArtifactMissing where the file does not exist, CheckpointRejected where it is not ONNX.
    """
    try:
        return onnx.load(path, load_external_data=False)
    except FileNotFoundError as error:
        raise ArtifactMissing(
            f"ONNX file {path.name} does not exist; export the model again."
        ) from error
    except (DecodeError, OSError) as error:
        raise CheckpointRejected(f"{path.name} is not a readable ONNX file.") from error


def build_skeleton(
    model: ModelProto, batch: int, run_shapes: Mapping[str, Shape] | None = None
) -> Skeleton:
    """Infers all shapes, with `batch` where the first dimension of an input is dynamic.

    `run_shapes` are used where inference finds none. Raises ExportFailed where the graph has no
    input or is invalid.
    """
    inputs = _inputs_with_batch(model.graph, batch)
    shapes: dict[str, Shape] = dict(run_shapes or {})
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    try:
        light = _to_float_form(_without_weights(model, inputs))
        graph_io.sort_nodes(light.graph)
        inferred = shape_inference.infer_shapes(light, data_prop=True).graph
    except shape_inference.InferenceError:
        inferred = light.graph  # operators that inference does not support
    except (ValueError, TypeError, RuntimeError) as error:  # names that are not text, unknown types
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ExportFailed(f"The graph is not valid ONNX: {reason}.") from error
    constants = frozenset(tensor.name for tensor in model.graph.initializer)
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if _is_fixed(value):
            shapes[value.name] = _dimensions(value)
    return Skeleton(
        list(light.graph.node), shapes, constants, next(iter(shapes.get(inputs[0].name, ())), batch)
    )


def _inputs_with_batch(graph: GraphProto, batch: int) -> list[ValueInfoProto]:
    """Copies of the inputs that are not weights, with a dynamic first dimension set to `batch`."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = []
    for original in graph.input:
        if original.name in weights:
            continue
        value = ValueInfoProto()
        value.CopyFrom(original)
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = batch
        inputs.append(value)
    if not inputs:
        raise ExportFailed("The graph has no input, so it is not an image model.")
    return inputs


def _without_weights(model: ModelProto, inputs: list[ValueInfoProto]) -> ModelProto:
    """The same graph with weights replaced by inputs of their shape, without declared shapes."""
    graph = GraphProto(name="skeleton", node=model.graph.node, input=inputs)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _MAX_SHAPE_VALUES:
            graph.initializer.append(tensor)
        else:
            shape = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(shape)
    graph.output.extend(helper.make_empty_tensor_value_info(o.name) for o in model.graph.output)
    light = ModelProto(ir_version=model.ir_version, graph=graph, functions=model.functions)
    light.opset_import.extend(model.opset_import)
    return inliner.inline_local_functions(light) if model.functions else light


def _to_float_form(model: ModelProto) -> ModelProto:
    for node in model.graph.node:
        if node.op_type in _FLOAT_FORMS:
            op_type, input_indices = _FLOAT_FORMS[node.op_type]
            names = [node.input[index] for index in input_indices if index < len(node.input)]
            del node.input[:]
            node.input.extend(names)
            node.op_type, node.domain = op_type, ""
        elif node.op_type in _STANDARD_OPS:
            node.domain = ""
    return model


def _is_fixed(value: ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return tensor.HasField("shape") and all(dim.dim_value > 0 for dim in tensor.shape.dim)


def _dimensions(value: ValueInfoProto) -> Shape:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
