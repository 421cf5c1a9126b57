"""Which tensors of an int8 model belong to SE blocks, and as what."""

from __future__ import annotations

from onnx import ModelProto

from engine.build.int8.equalization.apply_scales import SCALED
from engine.layer_errors.graphs import STORED
from engine.onnx.graph_view import GraphView, view_of
from engine.onnx.se_blocks import Gate, block_nodes, find_gates

SQUEEZE, INSIDE, GATE, GATED = "squeeze", "SE branch", "SE gate", "gated map"
SPATIAL_AVERAGES = frozenset({"GlobalAveragePool", "ReduceMean"})


def se_roles(model: ModelProto) -> dict[str, str]:
    """Tensor (without the suffix of its quantizer) -> its role in an SE block."""
    view = view_of(model)
    shapes = {
        name: [size if size is not None else -1 for size in shape]
        for name, shape in view.shapes.items()
    }
    nodes = list(model.graph.node)
    roles: dict[str, str] = {}
    for gate in find_gates(nodes, shapes, view.constants):
        for node in block_nodes(gate, nodes, shapes):
            role = SQUEEZE if node.op_type in SPATIAL_AVERAGES else INSIDE
            for name in node.output:
                roles.setdefault(_plain(name), role)
        roles |= dict.fromkeys(_before_quantizer(gate, view), GATE)
        roles[_plain(gate.node.output[0])] = GATED
    return roles


def _before_quantizer(gate: Gate, view: GraphView) -> set[str]:
    """The gate under all its names: as read, as stored, and as computed."""
    names, tensor = {_plain(gate.tensor)}, gate.tensor
    for _ in range(3):
        node = view.producers.get(tensor)
        if node is None or node.op_type not in ("DequantizeLinear", "QuantizeLinear", "Mul"):
            break
        tensor = node.input[0]
        names |= {_plain(tensor), _plain(tensor) + SCALED}
    return names


def _plain(name: str) -> str:
    return name.partition("/for/")[0].removesuffix(STORED)
