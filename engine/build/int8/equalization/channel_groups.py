"""Groups of tensors that must have the same channel scales, so that scaling changes no result.

max(0, a x) = a max(0, x) for a > 0, and sums and averages also preserve a factor: tensors connected
by such nodes form one group. Convolutions absorb any factor in their weights, so a group ends
there. Nodes that do not preserve a factor fix the scale of the groups they touch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from onnx import NodeProto

from engine.onnx.graph_view import GraphView, is_global_average

ABSORBING_OPS = frozenset({"Conv", "Gemm"})
SCALE_PRESERVING_OPS = frozenset(
    {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity", "Dropout"}
)
RESHAPING_OPS = frozenset({"Flatten", "Reshape", "Squeeze"})
GATE_OPS = frozenset({"HardSigmoid", "Sigmoid"})


@dataclass(frozen=True, slots=True)
class SelfGate:
    """y = x * gate(x): HardSwish and SiLU. y has the scale of x; the gate needs an unscaled x."""

    gate: NodeProto
    x: str
    y: str


@dataclass(frozen=True, slots=True)
class Excitation:
    """y = x * gate with one value per channel (n, c, 1, 1): the multiplication of an SE block."""

    x: str
    gate: str
    y: str


@dataclass(slots=True)
class ChannelGroups:
    """Groups of tensors (a union-find structure), and the gates between them.

    `fixed` tensors keep their scale. `free_tensors` are produced in float and then quantized: each
    of their channels can take any factor at no cost, in the QuantizeLinear.
    """

    parent: dict[str, str] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    self_gates: list[SelfGate] = field(default_factory=list)
    excitations: list[Excitation] = field(default_factory=list)
    free_tensors: list[str] = field(default_factory=list)

    def find(self, tensor: str) -> str:
        """The representative of a tensor's group."""
        root = tensor
        while self.parent.setdefault(root, root) != root:
            root = self.parent[root]
        self.parent[tensor] = root
        return root

    def union(self, *tensors: str) -> None:
        """Puts tensors into one group."""
        first = self.find(tensors[0])
        for tensor in tensors[1:]:
            self.parent[self.find(tensor)] = first

    def fix(self, *tensors: str) -> None:
        """The groups of these tensors keep their scale."""
        self.fixed.update(tensors)

    def scalable_groups(self) -> dict[str, list[str]]:
        """Representative -> members, of the groups that may be scaled."""
        fixed_roots = {self.find(tensor) for tensor in self.fixed}
        members: dict[str, list[str]] = {}
        for tensor in list(self.parent):
            root = self.find(tensor)
            if root not in fixed_roots:
                members.setdefault(root, []).append(tensor)
        return members


def find_channel_groups(
    nodes: list[NodeProto], view: GraphView, excluded_layers: frozenset[str] = frozenset()
) -> ChannelGroups:
    """Finds the groups of a graph; the layers that produce `excluded_layers` are in float."""
    groups = ChannelGroups()
    groups.fix("input", *view.outputs)
    for node in nodes:
        _add_node(node, view, groups, excluded_layers)
    return groups


def find_self_gate(node: NodeProto, view: GraphView) -> SelfGate | None:
    """The gate of a Mul(x, gate(x)), where the gate has no other consumer."""
    if node.op_type != "Mul":
        return None
    for x, gated in (tuple(node.input), tuple(reversed(node.input))):
        gate = view.producers.get(gated)
        if gate is not None and gate.op_type in GATE_OPS and gate.input[0] == x:
            is_only_consumer = view.only_consumer(gated) is node
            return SelfGate(gate, x, node.output[0]) if is_only_consumer else None
    return None


def find_excitation(node: NodeProto, view: GraphView) -> Excitation | None:
    """A Mul of a feature map by one computed value per channel."""
    if node.op_type != "Mul" or any(name in view.constants for name in node.input):
        return None
    for x, gate in (tuple(node.input), tuple(reversed(node.input))):
        gate_shape = view.shapes.get(gate, [])
        if len(gate_shape) == 4 and view.is_vector(gate) and not view.is_vector(x):
            return Excitation(x, gate, node.output[0]) if view.only_consumer(gate) else None
    return None


def _add_node(
    node: NodeProto, view: GraphView, groups: ChannelGroups, excluded_layers: frozenset[str]
) -> None:
    op_type, output = node.op_type, node.output[0]
    activations = [name for name in node.input if name and name not in view.constants]
    if op_type in ABSORBING_OPS and node.input[1] in view.constants and len(activations) == 1:
        groups.find(activations[0])
        groups.find(output)
    elif _preserves_scale(node, activations, view):
        groups.union(activations[0], output)
    elif (
        op_type == "Add" and _same_channels([*activations, output], view) and len(activations) == 2
    ):
        groups.union(*activations, output)
    elif (swish := find_self_gate(node, view)) is not None and swish.x in excluded_layers:
        groups.fix(swish.x)
        groups.free_tensors.append(output)
        groups.find(output)
    elif swish is not None:
        groups.union(swish.x, swish.y)
        groups.self_gates.append(swish)
    elif (excitation := find_excitation(node, view)) is not None:
        groups.find(excitation.x)
        groups.find(excitation.y)
        groups.excitations.append(excitation)
    elif op_type in GATE_OPS and _is_self_gate(node, view):
        return
    elif op_type in GATE_OPS and view.is_vector(output):
        groups.fix(activations[0])
    else:
        groups.fix(*activations, *node.output)


def _preserves_scale(node: NodeProto, activations: list[str], view: GraphView) -> bool:
    if len(activations) != 1:
        return False
    if node.op_type in RESHAPING_OPS:
        return view.is_vector(activations[0]) and _keeps_channels(node, view)
    return node.op_type in SCALE_PRESERVING_OPS or is_global_average(node, view.constants)


def _is_self_gate(node: NodeProto, view: GraphView) -> bool:
    consumer = view.only_consumer(node.output[0])
    return consumer is not None and find_self_gate(consumer, view) is not None


def _keeps_channels(node: NodeProto, view: GraphView) -> bool:
    return view.channels(node.input[0]) == view.channels(node.output[0])


def _same_channels(tensors: list[str], view: GraphView) -> bool:
    shapes = [view.shapes.get(tensor) for tensor in tensors]
    return shapes[0] is not None and all(shape == shapes[0] for shape in shapes)
