"""Where a graph is cut into integers for TensorRT: at what convolutions read, not what they make.

TensorRT lets what follows a convolution (activation, gate, sum) join its kernel, so a rounding in
between would only cost accuracy (NVIDIA, "Q/DQ layer-placement recommendations"). What a skip
connection brings is stored, since the next convolution reads it too; so is a feature map that goes
into an SE branch and past it, which would otherwise be read twice in float.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from engine.build.int8.qdq.placement import WEIGHTED, Placing
from engine.onnx.graph_view import GraphView, view_of


def place_for_tensorrt(model: ModelProto, kept: frozenset[str] = frozenset()) -> Placing:
    """Decides for every node; those whose output is in `kept` stay in float."""
    view = view_of(model)
    floating = {
        node.output[0]: reason
        for node in model.graph.node
        if node.op_type in WEIGHTED and (reason := _reason(node, view, kept))
    }
    tensors = [value.name for value in model.graph.input]
    tensors += [node.output[0] for node in model.graph.node]
    stored = [name for name in tensors if _is_stored(name, view, floating)]
    return Placing(tuple(stored), floating, view)


def _reason(node: NodeProto, view: GraphView, kept: frozenset[str]) -> str | None:
    if node.output[0] in kept:
        return "asked, or found to cost too much accuracy"
    if node.input[1] not in view.constants:
        return "weights are computed, not constant"
    return None


def _is_stored(tensor: str, view: GraphView, floating: dict[str, str]) -> bool:
    if tensor in view.outputs:
        return False
    readers = view.readers.get(tensor, [])
    weighted = any(
        node.op_type in WEIGHTED and node.input[0] == tensor and node.output[0] not in floating
        for node in readers
    )
    squeezed = any(node.op_type == "GlobalAveragePool" for node in readers)
    return weighted or (squeezed and len(readers) > 1)
