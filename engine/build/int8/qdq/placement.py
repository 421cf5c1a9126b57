"""Where a graph is cut into integers: which nodes compute in int8, which tensors are stored so."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from engine.onnx.graph_view import GraphView, view_of

WEIGHTED = frozenset({"Conv", "Gemm"})
PASSING = frozenset({"MaxPool", "Reshape", "Flatten", "Squeeze", "Transpose", "Identity"})
"""Their output is stored on the grid of their input: they move values and change none."""
INTEGER = (
    WEIGHTED
    | PASSING
    | {"Add", "Mul", "GlobalAveragePool", "AveragePool", "Concat", "Sigmoid", "LeakyRelu"}
    | {"Relu", "Clip"}
)
FUSING = frozenset({"Relu", "Clip"})
FOLLOWING = frozenset({"Add", "Mul", "Sigmoid", "LeakyRelu"})
"""They stay in float where all that they read is in float."""


@dataclass(frozen=True, slots=True)
class Placing:
    """`stored`: tensors held in 8 bits. `floating`: node (by output) -> why it stays in float."""

    stored: tuple[str, ...]
    floating: dict[str, str]
    view: GraphView


def place(model: ModelProto, kept: frozenset[str] = frozenset()) -> Placing:
    """Decides for every node; those whose output is in `kept` stay in float."""
    view = view_of(model)
    floating: dict[str, str] = {}
    for node in model.graph.node:
        reason = _reason(node, view, kept)
        if node.op_type in FUSING and node.input[0] in floating:
            reason = floating[node.input[0]]
        if reason is None and node.op_type in FOLLOWING and all(n in floating for n in node.input):
            reason = "all that it reads is in float"
        if reason:
            floating[node.output[0]] = reason
    stored = [model.graph.input[0].name] if _integer_readers("input", view, floating) else []
    scores = _behind_all_layers(model, view)
    stored += [
        node.output[0]
        for node in model.graph.node
        if _is_stored(node, view, floating) and node.output[0] not in scores
    ]
    return Placing(tuple(stored), floating, view)


def _behind_all_layers(model: ModelProto, view: GraphView) -> frozenset[str]:
    """Vectors that no layer with weights reads any more: scores on their way out.

    8 bits would only blur the order of the classes there.
    """
    leads_on: set[str] = set()
    behind: set[str] = set()
    for node in reversed(model.graph.node):
        goes_on = node.op_type in WEIGHTED or any(name in leads_on for name in node.output)
        if goes_on:
            leads_on.update(node.input)
        behind.update(name for name in node.output if name not in leads_on)
    return frozenset(name for name in behind if _is_one_row(view.shapes.get(name)))


def _is_one_row(shape: list[int | None] | None) -> bool:
    """(n, c), and (n, 1, 1, c) as the last layers of NHWC networks give."""
    return shape is not None and sum(size != 1 for size in shape[1:]) <= 1


def _reason(node: NodeProto, view: GraphView, kept: frozenset[str]) -> str | None:
    if node.output[0] in kept:
        return "asked, or found to cost too much accuracy"
    if node.op_type not in INTEGER:
        return f"{node.op_type} has no integer kernel"
    if node.output[0] in view.others:
        return "its values are no float32"
    if node.op_type in WEIGHTED and not view.is_measurable(node.input[0]):
        return "what it reads is not one set of values for each image"
    if node.op_type in WEIGHTED and node.input[1] not in view.constants:
        return "weights are computed, not constant"
    if node.op_type in ("Add", "Mul") and any(name in view.constants for name in node.input):
        return f"{node.op_type} with a constant"
    return None


def _is_stored(node: NodeProto, view: GraphView, floating: dict[str, str]) -> bool:
    tensor = node.output[0]
    if tensor in view.outputs or not view.is_measurable(tensor):
        return False
    readers = view.readers.get(tensor, [])
    wanted = _integer_readers(tensor, view, floating)
    if tensor in floating:
        return wanted
    if _fuses_into(view.only_reader(tensor), node, floating):
        return False
    return bool(readers)


def _fuses_into(reader: NodeProto | None, node: NodeProto, floating: dict[str, str]) -> bool:
    if reader is None or reader.op_type not in FUSING or reader.output[0] in floating:
        return False
    return node.op_type not in PASSING


def _integer_readers(tensor: str, view: GraphView, floating: dict[str, str]) -> bool:
    return any(node.output[0] not in floating for node in view.readers.get(tensor, []))
