"""Quantizer placement: which nodes compute in int8, and which tensors are quantized."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from engine.onnx.graph_view import GraphView, view_of

WEIGHTED_OPS = frozenset({"Conv", "Gemm"})
PASS_THROUGH_OPS = frozenset({"MaxPool", "Reshape", "Flatten", "Squeeze", "Transpose", "Identity"})
"""They do not change values, so their output keeps the scale and zero point of their input."""
INTEGER_OPS = (
    WEIGHTED_OPS
    | PASS_THROUGH_OPS
    | {"Add", "Mul", "GlobalAveragePool", "AveragePool", "Concat", "Sigmoid", "LeakyRelu"}
    | {"Relu", "Clip"}
)
FUSED_OPS = frozenset({"Relu", "Clip"})
FLOAT_FOLLOWING_OPS = frozenset({"Add", "Mul", "Sigmoid", "LeakyRelu"})
"""They stay in float where all their inputs are in float."""


@dataclass(frozen=True, slots=True)
class QuantizerPlacement:
    """`quantized`: tensors stored in 8 bits. `float_nodes`: output of a float node -> reason."""

    quantized: tuple[str, ...]
    float_nodes: dict[str, str]
    view: GraphView


def place_quantizers(
    model: ModelProto,
    excluded_layers: frozenset[str] = frozenset(),
    view: GraphView | None = None,
) -> QuantizerPlacement:
    """Places quantizers for ONNX Runtime; nodes with outputs in `excluded_layers` stay in float.

    `view` is that of `model`, where it is known already.
    """
    view = view or view_of(model)
    float_nodes: dict[str, str] = {}
    for node in model.graph.node:
        reason = _float_reason(node, view, excluded_layers)
        if node.op_type in FUSED_OPS and node.input[0] in float_nodes:
            reason = float_nodes[node.input[0]]
        if (
            reason is None
            and node.op_type in FLOAT_FOLLOWING_OPS
            and all(n in float_nodes for n in node.input)
        ):
            reason = "all its inputs are in float"
        if reason:
            float_nodes[node.output[0]] = reason
    quantized = (
        [model.graph.input[0].name] if _has_integer_consumer("input", view, float_nodes) else []
    )
    after_last_layer = _vectors_after_last_layer(model, view)
    quantized += [
        node.output[0]
        for node in model.graph.node
        if _is_quantized(node, view, float_nodes) and node.output[0] not in after_last_layer
    ]
    return QuantizerPlacement(tuple(quantized), float_nodes, view)


def _vectors_after_last_layer(model: ModelProto, view: GraphView) -> frozenset[str]:
    """Vectors after the last layer with weights: the scores.

    Quantizing them would only blur the order of the classes.
    """
    read_by_layers: set[str] = set()
    after_layers: set[str] = set()
    for node in reversed(model.graph.node):
        leads_to_layer = node.op_type in WEIGHTED_OPS or any(
            name in read_by_layers for name in node.output
        )
        if leads_to_layer:
            read_by_layers.update(node.input)
        after_layers.update(name for name in node.output if name not in read_by_layers)
    return frozenset(name for name in after_layers if _is_vector_shape(view.shapes.get(name)))


def _is_vector_shape(shape: list[int | None] | None) -> bool:
    """Whether a shape is (n, c), or (n, 1, 1, c) as in the last layers of NHWC models."""
    return shape is not None and sum(size != 1 for size in shape[1:]) <= 1


def _float_reason(node: NodeProto, view: GraphView, excluded_layers: frozenset[str]) -> str | None:
    if node.output[0] in excluded_layers:
        return "excluded by request or by sensitivity analysis"
    if node.op_type not in INTEGER_OPS:
        return f"{node.op_type} has no integer kernel"
    if node.output[0] in view.non_float32:
        return "its data type is not float32"
    if node.op_type in WEIGHTED_OPS and not view.is_measurable(node.input[0]):
        return "its input does not have one row per image"
    if node.op_type in WEIGHTED_OPS and node.input[1] not in view.constants:
        return "its weights are not constant"
    if node.op_type in ("Add", "Mul") and any(name in view.constants for name in node.input):
        return f"{node.op_type} with a constant"
    return None


def _is_quantized(node: NodeProto, view: GraphView, float_nodes: dict[str, str]) -> bool:
    tensor = node.output[0]
    if tensor in view.outputs or not view.is_measurable(tensor):
        return False
    consumers = view.consumers.get(tensor, [])
    read_in_int8 = _has_integer_consumer(tensor, view, float_nodes)
    if tensor in float_nodes:
        return read_in_int8
    if _fuses_into(view.only_consumer(tensor), node, float_nodes):
        return False
    return bool(consumers)


def _fuses_into(consumer: NodeProto | None, node: NodeProto, float_nodes: dict[str, str]) -> bool:
    if consumer is None or consumer.op_type not in FUSED_OPS or consumer.output[0] in float_nodes:
        return False
    return node.op_type not in PASS_THROUGH_OPS


def _has_integer_consumer(tensor: str, view: GraphView, float_nodes: dict[str, str]) -> bool:
    return any(node.output[0] not in float_nodes for node in view.consumers.get(tensor, []))
