"""The SE blocks of a graph: where a feature map is weighed channel by channel.

A gate has one value a channel, made from the image, and is multiplied with a feature map: (n, c, 1,
1) against (n, c, h, w), or (n, 1, 1, c) against (n, h, w, c) where a runtime has turned the axes.
Whatever leads from the feature map to the gate belongs to the block: squeeze, both small layers,
activations, and the multiplication itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto

Shape = Sequence[int]
# The inputs of a multiplication that hold values, not scales or zero points.
_FACTORS = {"Mul": (0, 1), "QLinearMul": (0, 3)}
_CHANNEL_AXES = ((1, (2, 3)), (3, (1, 2)))


@dataclass(frozen=True, slots=True)
class Gate:
    """The tensor that weighs `channels` of `features` at one node."""

    tensor: str
    features: str
    channels: int
    node: NodeProto


def find_gates(
    nodes: Sequence[NodeProto], shapes: Mapping[str, Shape], constants: Collection[str]
) -> list[Gate]:
    """Every gate in the order of the nodes, one a multiplication."""
    found = []
    for node in nodes:
        factors = [node.input[i] for i in _FACTORS.get(node.op_type, ()) if i < len(node.input)]
        if len(factors) != 2 or node.domain not in ("", "ai.onnx", "com.microsoft"):
            continue
        for gate, features in (factors, reversed(factors)):
            known = {gate, features} <= set(shapes) and gate not in constants
            channels = gated_channels(shapes[gate], shapes[features]) if known else 0
            if channels:
                found.append(Gate(gate, features, channels, node))
    return found


def gated_channels(small: Shape, large: Shape) -> int:
    """The channels that a tensor of one shape weighs in one of another; 0 where it is no gate."""
    if len(small) != 4 or len(large) != 4:
        return 0
    for channel, (height, width) in _CHANNEL_AXES:
        flat = small[height] == small[width] == 1
        if flat and small[channel] == large[channel] and (large[height], large[width]) != (1, 1):
            return int(small[channel])
    return 0


def block_members(
    gate: Gate, nodes: Sequence[NodeProto], shapes: Mapping[str, Shape]
) -> list[NodeProto]:
    """The nodes of a gate's block, the multiplication last: back from the gate to feature maps."""
    made_by = {name: node for node in nodes for name in node.output if name}
    found: dict[int, NodeProto] = {}
    waiting = [gate.tensor]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is None or id(node) in found:
            continue
        found[id(node)] = node
        waiting += [name for name in node.input if name and not _is_feature_map(shapes.get(name))]
    members = [node for node in nodes if id(node) in found]
    return [*members, gate.node]


def _is_feature_map(shape: Shape | None) -> bool:
    """Whether a tensor still has places: what is unknown, flat or a vector has none."""
    if shape is None or len(shape) != 4:
        return False
    return not any(shape[h] == shape[w] == 1 for _, (h, w) in _CHANNEL_AXES)
