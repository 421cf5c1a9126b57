"""Nodes that give a user's graph the standard form: `input` (batch, 3, side, side) -> `logits`.

Both are float32. Only layout, data type and names of the input and the output change; the graph in
between stays as it is in the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from engine.common.scores import as_scores
from engine.onnx import graph_io
from engine.onnx.signature import CHANNELS, ImageInput, Layout, ScoreOutput

_TO_NHWC = (0, 2, 3, 1)
_PASS_THROUGH_OPS = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Transpose"}
)
# Operator -> positions of the inputs that hold the scale and the zero point of its output.
_OUTPUT_QPARAMS: dict[str, tuple[int, int]] = {
    "QuantizeLinear": (1, 2),
    "QLinearConv": (6, 7),
    "QLinearMatMul": (6, 7),
    "QGemm": (7, 8),
    "QLinearAdd": (6, 7),
    "QLinearMul": (6, 7),
    "QLinearSoftmax": (3, 4),
    "QLinearSigmoid": (3, 4),
    "QLinearGlobalAveragePool": (3, 4),
    "QLinearAveragePool": (3, 4),
}


def adapt_input(model: ModelProto, signature: ImageInput) -> list[str]:
    """Makes `input` float32 (batch, 3, side, side), in place; returns notes on the nodes added."""
    graph, notes = model.graph, []
    nodes: list[NodeProto] = []
    if signature.layout is Layout.NHWC:
        notes.append("The model input is NHWC: a Transpose was inserted in front of it.")
    if signature.type != TensorProto.FLOAT:
        values = " (integers from 0 to 255)" if signature.takes_integer_pixels else ""
        notes.append(
            f"The model input is {signature.type_name}{values}: a Cast was inserted in front of it."
        )
    value = graph.input[0]
    if not notes:
        graph_io.rename_tensor(model, value.name, graph_io.INPUT)
        value.CopyFrom(_image_value(signature))
        return notes
    original = f"{graph_io.INPUT}/original"
    graph_io.rename_tensor(model, value.name, original)
    if graph_io.INPUT in graph_io.tensor_names(graph):
        graph_io.rename_tensor(model, graph_io.INPUT, f"{graph_io.INPUT}/inner")
    value.CopyFrom(_image_value(signature))
    current = graph_io.INPUT
    if signature.layout is Layout.NHWC:
        transposed = original if signature.type == TensorProto.FLOAT else f"{original}/NHWC"
        nodes.append(
            helper.make_node("Transpose", [current], [transposed], transposed, perm=_TO_NHWC)
        )
        current = transposed
    if signature.type != TensorProto.FLOAT:
        nodes.append(
            helper.make_node("Cast", [current], [original], f"{original}/cast", to=signature.type)
        )
    graph_io.set_nodes(graph, [*nodes, *graph.node])
    return notes


def _image_value(signature: ImageInput) -> ValueInfoProto:
    shape: list[str | int | None] = [graph_io.BATCH, CHANNELS, signature.side, signature.side]
    return helper.make_tensor_value_info(graph_io.INPUT, TensorProto.FLOAT, shape)


@dataclass(frozen=True, slots=True)
class OutputScale:
    """Dequantization of the output: (raw - zero_point) * scale; `notes` on the nodes added."""

    scale: float
    zero_point: float
    notes: tuple[str, ...]

    def to_scores(self, raw: np.ndarray) -> np.ndarray:
        """Values of `logits`, computed from those of the original output."""
        return np.asarray((as_scores(raw) - self.zero_point) * np.float32(self.scale), np.float32)


def adapt_output(model: ModelProto, signature: ScoreOutput) -> OutputScale:
    """Makes `logits`, float32 (batch, classes), the only output; in place."""
    graph = model.graph
    value = next(one for one in graph.output if one.name == signature.name)
    output = type(value).FromString(value.SerializeToString())
    del graph.output[:]
    graph.output.append(output)
    graph_io.prune(graph)
    graph_io.rename_tensor(model, signature.name, graph_io.OUTPUT)
    added: list[tuple[NodeProto, str]] = []
    qparams = _output_qparams(graph, graph_io.OUTPUT) if signature.is_integer else None
    if qparams is not None:
        node = helper.make_node("DequantizeLinear", ["", *qparams.names], [""])
        note = f"The model output is quantized ({signature.type}): a DequantizeLinear was added."
        added.append((node, note))
    elif signature.type != "float32":
        node = helper.make_node("Cast", [""], [""], to=TensorProto.FLOAT)
        added.append((node, f"The model output is {signature.type}: a Cast to float32 was added."))
    if len(signature.shape) != 2:
        shape = (
            ", ".join(["batch", *map(str, signature.shape[1:])])
            if signature.shape[1:]
            else "classes"
        )
        axis = 1 if len(signature.shape) > 1 else 0
        node = helper.make_node("Flatten", [""], [""], axis=axis)
        added.append((node, f"The model output has the shape ({shape}): a Flatten was added."))
    _append(graph, [node for node, _ in added])
    typed = helper.make_tensor_value_info(
        graph_io.OUTPUT, TensorProto.FLOAT, [graph_io.BATCH, signature.classes]
    )
    graph.output[0].CopyFrom(typed)
    notes = tuple(note for _, note in added)
    return (
        OutputScale(1.0, 0.0, notes)
        if qparams is None
        else OutputScale(qparams.scale, qparams.zero_point, notes)
    )


def _append(graph: GraphProto, nodes: list[NodeProto]) -> None:
    """Appends one-input nodes after the output, in order; the last one takes the output's name."""
    for number, node in enumerate(nodes):
        previous = f"{graph_io.OUTPUT}/{number}"
        for other in graph.node:
            other.input[:] = [previous if n == graph_io.OUTPUT else n for n in other.input]
            other.output[:] = [previous if n == graph_io.OUTPUT else n for n in other.output]
        node.name = f"{previous}/{node.op_type}"
        node.input[0], node.output[0] = previous, graph_io.OUTPUT
        graph.node.append(node)


@dataclass(frozen=True, slots=True)
class _QParams:
    names: tuple[str, str]
    scale: float
    zero_point: float


def _output_qparams(graph: GraphProto, tensor: str) -> _QParams | None:
    """The constant scale and zero point of a quantized tensor; None where they are not constant."""
    producers = {name: node for node in graph.node for name in node.output}
    node = producers.get(tensor)
    while node is not None and node.op_type in _PASS_THROUGH_OPS:
        node = producers.get(node.input[0])
    positions = _OUTPUT_QPARAMS.get(node.op_type) if node is not None else None
    if node is None or positions is None or len(node.input) <= positions[1]:
        return None
    names = (node.input[positions[0]], node.input[positions[1]])
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.name in names}
    values = [constants.get(name) for name in names]
    if any(value is None or value.size != 1 for value in values):
        return None
    scale, zero_point = (float(np.asarray(value).reshape(-1)[0]) for value in values)
    return _QParams(names, scale, zero_point)
