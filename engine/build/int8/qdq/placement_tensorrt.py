"""Quantizer placement for TensorRT: at the inputs of convolutions, not at their outputs.

TensorRT fuses what follows a convolution (activation, gate, sum) into its kernel, so quantizing in
between would only cost accuracy (NVIDIA, "Q/DQ layer-placement recommendations"). The tensor of a
skip connection is quantized, because the next convolution reads it too. So is a feature map that an
SE branch and the main path both read, because it would otherwise be read twice in float.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from engine.build.int8.qdq.placement import WEIGHTED_OPS, QuantizerPlacement
from engine.onnx.graph_view import GraphView, view_of


def place_quantizers_for_tensorrt(
    model: ModelProto, excluded_layers: frozenset[str] = frozenset()
) -> QuantizerPlacement:
    """Places quantizers for TensorRT; layers whose output is in `excluded_layers` stay in float."""
    view = view_of(model)
    float_nodes = {
        node.output[0]: reason
        for node in model.graph.node
        if node.op_type in WEIGHTED_OPS and (reason := _float_reason(node, view, excluded_layers))
    }
    tensors = [value.name for value in model.graph.input]
    tensors += [node.output[0] for node in model.graph.node]
    quantized = [name for name in tensors if _is_quantized(name, view, float_nodes)]
    return QuantizerPlacement(tuple(quantized), float_nodes, view)


def _float_reason(node: NodeProto, view: GraphView, excluded_layers: frozenset[str]) -> str | None:
    if node.output[0] in excluded_layers:
        return "excluded by request or by sensitivity analysis"
    if node.input[1] not in view.constants:
        return "its weights are not constant"
    return None


def _is_quantized(tensor: str, view: GraphView, float_nodes: dict[str, str]) -> bool:
    if tensor in view.outputs:
        return False
    consumers = view.consumers.get(tensor, [])
    weighted = any(
        node.op_type in WEIGHTED_OPS
        and node.input[0] == tensor
        and node.output[0] not in float_nodes
        for node in consumers
    )
    squeezed = any(node.op_type == "GlobalAveragePool" for node in consumers)
    return weighted or (squeezed and len(consumers) > 1)
