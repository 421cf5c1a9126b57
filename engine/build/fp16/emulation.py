"""Emulation of fp16 in float32: every value that fp16 would store is rounded to fp16.

The result is that of a machine with fp16 arithmetic, except for the order of its sums. ONNX Runtime
on x86 computes an fp16 graph in float32 throughout (it removes the Casts that it has inserted),
which hides overflow; it does not remove Casts that are part of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.fp16.conversion import FLOAT, HALF, assembled, to_half, weights_of
from engine.build.fp16.value_ranges import float_tensors


def imitate(model: ModelProto, float_outputs: frozenset[str]) -> ModelProto:
    """A float32 model that rounds like `convert`; `float_outputs` as in `convert`."""
    writer = _Writer(frozenset(float_tensors(model)), weights_of(model))
    for node in model.graph.node:
        writer.write(node, in_half=node.output[0] not in float_outputs)
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
        rounded_name = f"{name}/rounded"
        if name in self.weights:
            values = to_half(self.weights[name]).astype(np.float32)
            self.constants.setdefault(rounded_name, numpy_helper.from_array(values, rounded_name))
            return rounded_name
        if name not in self.tensors or name in self.rounded:
            return name
        if rounded_name not in self.rounded:
            self._round(name, rounded_name)
        return rounded_name

    def _round(self, name: str, rounded_name: str) -> None:
        half = f"{rounded_name}/in half"
        self.nodes.append(helper.make_node("Cast", [name], [half], to=HALF))
        self.nodes.append(helper.make_node("Cast", [half], [rounded_name], to=FLOAT))
        self.rounded.add(rounded_name)
