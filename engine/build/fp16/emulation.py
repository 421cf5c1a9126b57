"""Half precision imitated in float32: every value that would be stored in it is rounded to it.

What a machine with half precision gives, but for the order of its sums. ONNX Runtime on x86
computes a half precision graph in float32 throughout (it drops the casts that it inserts itself),
which hides what does not fit; casts that stand in the graph it leaves alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.fp16.conversion import FLOAT, HALF, assembled, to_half, weights_of
from engine.build.fp16.value_ranges import float_tensors


def imitate(model: ModelProto, kept: frozenset[str]) -> ModelProto:
    """As `convert` computes, in float32; `kept` are first outputs of nodes that stay in float."""
    writer = _Writer(frozenset(float_tensors(model)), weights_of(model))
    for node in model.graph.node:
        writer.write(node, in_half=node.output[0] not in kept)
    return assembled(model, writer.nodes, writer.constants)


@dataclass(slots=True)
class _Writer:
    tensors: frozenset[str]
    weights: dict[str, np.ndarray]
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)
    rounded: set[str] = field(default_factory=set)

    def write(self, node: NodeProto, in_half: bool) -> None:
        copied = NodeProto()
        copied.CopyFrom(node)
        if not in_half:
            self.nodes.append(copied)
            return
        copied.input[:] = [self._read(name) for name in node.input]
        self.nodes.append(copied)
        for place, name in enumerate(node.output):
            if name in self.tensors:
                copied.output[place] = f"{name}/exact"
                self._round(f"{name}/exact", name)

    def _read(self, name: str) -> str:
        made = f"{name}/rounded"
        if name in self.weights:
            values = to_half(self.weights[name]).astype(np.float32)
            self.constants.setdefault(made, numpy_helper.from_array(values, made))
            return made
        if name not in self.tensors or name in self.rounded:
            return name
        if made not in self.rounded:
            self._round(name, made)
        return made

    def _round(self, name: str, made: str) -> None:
        half = f"{made}/in half"
        self.nodes.append(helper.make_node("Cast", [name], [half], to=HALF))
        self.nodes.append(helper.make_node("Cast", [half], [made], to=FLOAT))
        self.rounded.add(made)
