"""Finds the SE blocks of a graph: where a gate multiplies a feature map channel by channel.

A gate is computed from the image and has one value per channel. It is multiplied with a feature
map: (n, c, 1, 1) by (n, c, h, w), or (n, 1, 1, c) by (n, h, w, c) where a runtime has changed the
layout. All nodes between the feature map and the gate belong to the block: squeeze, the two small
layers, activations, and the multiplication.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto

Shape = Sequence[int]
# Positions of the two factors of a multiplication; the other inputs are scales and zero points.
_MUL_INPUTS = {"Mul": (0, 1), "QLinearMul": (0, 3)}
_CHANNEL_AXES = ((1, (2, 3)), (3, (1, 2)))


@dataclass(frozen=True, slots=True)
class Gate:
    """The tensor `tensor` that multiplies the `channels` channels of `features` in `node`."""

    tensor: str
    features: str
    channels: int
    node: NodeProto


def find_gates(
    nodes: Sequence[NodeProto], shapes: Mapping[str, Shape], constants: Collection[str]
) -> list[Gate]:
    """All gates in node order, one per multiplication."""
    gates = []
    for node in nodes:
        factors = [node.input[i] for i in _MUL_INPUTS.get(node.op_type, ()) if i < len(node.input)]
        if len(factors) != 2 or node.domain not in ("", "ai.onnx", "com.microsoft"):
            continue
        for gate, features in (factors, reversed(factors)):
            is_candidate = {gate, features} <= set(shapes) and gate not in constants
            channels = gated_channels(shapes[gate], shapes[features]) if is_candidate else 0
            if channels:
                gates.append(Gate(gate, features, channels, node))
    return gates


def gated_channels(gate_shape: Shape, map_shape: Shape) -> int:
    """Channels that a gate of one shape scales in a feature map of another; 0 for no gate."""
    if len(gate_shape) != 4 or len(map_shape) != 4:
        return 0
    for channel, (height, width) in _CHANNEL_AXES:
        is_pooled = gate_shape[height] == gate_shape[width] == 1
        if (
            is_pooled
            and gate_shape[channel] == map_shape[channel]
            and (map_shape[height], map_shape[width]) != (1, 1)
        ):
            return int(gate_shape[channel])
    return 0


def block_nodes(
    gate: Gate, nodes: Sequence[NodeProto], shapes: Mapping[str, Shape]
) -> list[NodeProto]:
    """The nodes of a gate's block, found backwards from the gate; the multiplication is last."""
    producers = {name: node for node in nodes for name in node.output if name}
    members: dict[int, NodeProto] = {}
    pending = [gate.tensor]
    while pending:
        node = producers.get(pending.pop())
        if node is None or id(node) in members:
            continue
        members[id(node)] = node
        pending += [name for name in node.input if name and not _is_feature_map(shapes.get(name))]
    return [*(node for node in nodes if id(node) in members), gate.node]


def _is_feature_map(shape: Shape | None) -> bool:
    """Whether a tensor has spatial dimensions; False where its shape is unknown."""
    if shape is None or len(shape) != 4:
        return False
    return not any(shape[h] == shape[w] == 1 for _, (h, w) in _CHANNEL_AXES)
