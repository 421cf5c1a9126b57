"""Nodes that give a foreign graph our form: `input` (batch, 3, side, side) -> `logits` in float32.

Layout, type and names are changed at the ends only; between them the graph is as it came.
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
_KEEPS_VALUES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Transpose"})
# Operator -> its inputs that are the scale and the zero point of what it gives.
_OUTPUT_GRID: dict[str, tuple[int, int]] = {
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


def adapt_input(model: ModelProto, given: ImageInput) -> list[str]:
    """Makes `input` float32 (batch, 3, side, side); returns what was put in front, in sentences."""
    graph, notes = model.graph, []
    nodes: list[NodeProto] = []
    if given.layout is Layout.NHWC:
        notes.append("The network takes images as NHWC: a Transpose stands in front of it.")
    if given.type != TensorProto.FLOAT:
        values = ", whole numbers from 0 to 255" if given.takes_pixels else ""
        notes.append(
            f"The network takes {given.type_name} values{values}: a Cast stands in front of it."
        )
    value = graph.input[0]
    if not notes:
        graph_io.rename_tensor(model, value.name, graph_io.INPUT)
        value.CopyFrom(_images(given))
        return notes
    inner = f"{graph_io.INPUT}/original"
    graph_io.rename_tensor(model, value.name, inner)
    if graph_io.INPUT in graph_io.names_in(graph):
        graph_io.rename_tensor(model, graph_io.INPUT, f"{graph_io.INPUT}/inner")
    value.CopyFrom(_images(given))
    last = graph_io.INPUT
    if given.layout is Layout.NHWC:
        made = inner if given.type == TensorProto.FLOAT else f"{inner}/NHWC"
        nodes.append(helper.make_node("Transpose", [last], [made], made, perm=_TO_NHWC))
        last = made
    if given.type != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [last], [inner], f"{inner}/cast", to=given.type))
    graph_io.set_nodes(graph, [*nodes, *graph.node])
    return notes


def _images(given: ImageInput) -> ValueInfoProto:
    shape: list[str | int | None] = [graph_io.BATCH, CHANNELS, given.side, given.side]
    return helper.make_tensor_value_info(graph_io.INPUT, TensorProto.FLOAT, shape)


@dataclass(frozen=True, slots=True)
class Scale:
    """How whole numbers become scores: (number - zero) * step; `notes` say what was put behind."""

    step: float
    zero: float
    notes: tuple[str, ...]

    def scores(self, raw: np.ndarray) -> np.ndarray:
        """What `logits` gives, from what the original output gives."""
        return np.asarray((as_scores(raw) - self.zero) * np.float32(self.step), np.float32)


def adapt_output(model: ModelProto, given: ScoreOutput) -> Scale:
    """Makes `logits` float32 (batch, classes), the only output."""
    graph = model.graph
    value = next(one for one in graph.output if one.name == given.name)
    kept = type(value).FromString(value.SerializeToString())
    del graph.output[:]
    graph.output.append(kept)
    graph_io.prune(graph)
    graph_io.rename_tensor(model, given.name, graph_io.OUTPUT)
    steps: list[tuple[NodeProto, str]] = []
    grid = _grid_of(graph, graph_io.OUTPUT) if given.whole_numbers else None
    if grid is not None:
        node = helper.make_node("DequantizeLinear", ["", *grid.names], [""])
        note = f"Scores come as {given.type} on a quantized scale, and are scaled back."
        steps.append((node, note))
    elif given.type != "float32":
        node = helper.make_node("Cast", [""], [""], to=TensorProto.FLOAT)
        steps.append((node, f"Scores come as {given.type}, and are cast to float32."))
    if len(given.shape) != 2:
        shape = ", ".join(["batch", *map(str, given.shape[1:])]) if given.shape[1:] else "classes"
        axis = 1 if len(given.shape) > 1 else 0
        node = helper.make_node("Flatten", [""], [""], axis=axis)
        steps.append((node, f"Scores come as ({shape}), and are flattened."))
    _append(graph, [node for node, _ in steps])
    typed = helper.make_tensor_value_info(
        graph_io.OUTPUT, TensorProto.FLOAT, [graph_io.BATCH, given.classes]
    )
    graph.output[0].CopyFrom(typed)
    notes = tuple(note for _, note in steps)
    return Scale(1.0, 0.0, notes) if grid is None else Scale(grid.step, grid.zero, notes)


def _append(graph: GraphProto, nodes: list[NodeProto]) -> None:
    """Puts one-input nodes behind the output, in turn; the last gives its name."""
    for number, node in enumerate(nodes):
        before = f"{graph_io.OUTPUT}/{number}"
        for other in graph.node:
            other.input[:] = [before if n == graph_io.OUTPUT else n for n in other.input]
            other.output[:] = [before if n == graph_io.OUTPUT else n for n in other.output]
        node.name = f"{before}/{node.op_type}"
        node.input[0], node.output[0] = before, graph_io.OUTPUT
        graph.node.append(node)


@dataclass(frozen=True, slots=True)
class _Grid:
    names: tuple[str, str]
    step: float
    zero: float


def _grid_of(graph: GraphProto, tensor: str) -> _Grid | None:
    """The constant scale and zero point that a tensor's maker writes it with."""
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(tensor)
    while node is not None and node.op_type in _KEEPS_VALUES:
        node = makers.get(node.input[0])
    places = _OUTPUT_GRID.get(node.op_type) if node is not None else None
    if node is None or places is None or len(node.input) <= places[1]:
        return None
    names = (node.input[places[0]], node.input[places[1]])
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.name in names}
    values = [constants.get(name) for name in names]
    if any(value is None or value.size != 1 for value in values):
        return None
    step, zero = (float(np.asarray(value).reshape(-1)[0]) for value in values)
    return _Grid(names, step, zero)
