"""Which tensors must share their channel scales, so that scaling leaves a graph's result alone.

max(0, a x) = a max(0, x) for a > 0, and sums and averages pass a factor on: tensors joined by
such nodes form one class. Convolutions absorb any factor in their weights and so end a class;
what passes no factor on pins the classes it touches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from onnx import NodeProto

from engine.onnx.graph_view import GraphView, reduces_space

ABSORBING = frozenset({"Conv", "Gemm"})
PASSING = frozenset(
    {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity", "Dropout"}
)
RESHAPING = frozenset({"Flatten", "Reshape", "Squeeze"})
SELF_GATES = frozenset({"HardSigmoid", "Sigmoid"})


@dataclass(frozen=True, slots=True)
class SelfGate:
    """y = x * gate(x): HardSwish and SiLU. y carries the scale of x; the gate undoes it first."""

    gate: NodeProto
    x: str
    y: str


@dataclass(frozen=True, slots=True)
class Excitation:
    """y = x * gate, the gate one number a channel (n, c, 1, 1): where an SE branch comes back."""

    x: str
    gate: str
    y: str


@dataclass(slots=True)
class Links:
    """Classes by a representative tensor, and what lies between them.

    `freed` tensors are made in float and handed to integers: each channel may take any factor
    there at no cost, in the QuantizeLinear.
    """

    parent: dict[str, str] = field(default_factory=dict)
    pinned: set[str] = field(default_factory=set)
    self_gates: list[SelfGate] = field(default_factory=list)
    excitations: list[Excitation] = field(default_factory=list)
    freed: list[str] = field(default_factory=list)

    def find(self, tensor: str) -> str:
        """The representative of a tensor's class."""
        root = tensor
        while self.parent.setdefault(root, root) != root:
            root = self.parent[root]
        self.parent[tensor] = root
        return root

    def join(self, *tensors: str) -> None:
        """Puts tensors into one class."""
        first = self.find(tensors[0])
        for tensor in tensors[1:]:
            self.parent[self.find(tensor)] = first

    def pin(self, *tensors: str) -> None:
        """The classes of these tensors keep the scale they have."""
        self.pinned.update(tensors)

    def classes(self) -> dict[str, list[str]]:
        """Representative -> members, of the classes that may be scaled."""
        fixed = {self.find(tensor) for tensor in self.pinned}
        members: dict[str, list[str]] = {}
        for tensor in list(self.parent):
            root = self.find(tensor)
            if root not in fixed:
                members.setdefault(root, []).append(tensor)
        return members


def links_of(nodes: list[NodeProto], view: GraphView, kept: frozenset[str] = frozenset()) -> Links:
    """Reads the whole graph; the nodes that make the tensors in `kept` compute in float."""
    links = Links()
    links.pin("input", *view.outputs)
    for node in nodes:
        _link(node, view, links, kept)
    return links


def self_gate_of(node: NodeProto, view: GraphView) -> SelfGate | None:
    """The gate of a Mul(x, gate(x)) whose gate feeds nothing else."""
    if node.op_type != "Mul":
        return None
    for x, gated in (tuple(node.input), tuple(reversed(node.input))):
        gate = view.makers.get(gated)
        if gate is not None and gate.op_type in SELF_GATES and gate.input[0] == x:
            only = view.only_reader(gated) is node
            return SelfGate(gate, x, node.output[0]) if only else None
    return None


def excitation_of(node: NodeProto, view: GraphView) -> Excitation | None:
    """A Mul of a feature map by one computed number a channel."""
    if node.op_type != "Mul" or any(name in view.constants for name in node.input):
        return None
    for x, gate in (tuple(node.input), tuple(reversed(node.input))):
        gate_shape = view.shapes.get(gate, [])
        if len(gate_shape) == 4 and view.is_vector(gate) and not view.is_vector(x):
            return Excitation(x, gate, node.output[0]) if view.only_reader(gate) else None
    return None


def _link(node: NodeProto, view: GraphView, links: Links, kept: frozenset[str]) -> None:
    kind, output = node.op_type, node.output[0]
    activations = [name for name in node.input if name and name not in view.constants]
    if kind in ABSORBING and node.input[1] in view.constants and len(activations) == 1:
        links.find(activations[0])
        links.find(output)
    elif _passes_on(node, activations, view):
        links.join(activations[0], output)
    elif kind == "Add" and _same_channels([*activations, output], view) and len(activations) == 2:
        links.join(*activations, output)
    elif (swish := self_gate_of(node, view)) is not None and swish.x in kept:
        links.pin(swish.x)
        links.freed.append(output)
        links.find(output)
    elif swish is not None:
        links.join(swish.x, swish.y)
        links.self_gates.append(swish)
    elif (excitation := excitation_of(node, view)) is not None:
        links.find(excitation.x)
        links.find(excitation.y)
        links.excitations.append(excitation)
    elif kind in SELF_GATES and _gates_itself(node, view):
        return
    elif kind in SELF_GATES and view.is_vector(output):
        links.pin(activations[0])
    else:
        links.pin(*activations, *node.output)


def _passes_on(node: NodeProto, activations: list[str], view: GraphView) -> bool:
    if len(activations) != 1:
        return False
    if node.op_type in RESHAPING:
        return view.is_vector(activations[0]) and _keeps_channels(node, view)
    return node.op_type in PASSING or reduces_space(node, view.constants)


def _gates_itself(node: NodeProto, view: GraphView) -> bool:
    reader = view.only_reader(node.output[0])
    return reader is not None and self_gate_of(reader, view) is not None


def _keeps_channels(node: NodeProto, view: GraphView) -> bool:
    return view.channels(node.input[0]) == view.channels(node.output[0])


def _same_channels(tensors: list[str], view: GraphView) -> bool:
    shapes = [view.shapes.get(tensor) for tensor in tensors]
    return shapes[0] is not None and all(shape == shapes[0] for shape in shapes)
