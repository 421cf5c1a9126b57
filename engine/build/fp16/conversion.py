"""Conversion of a float32 graph to fp16, with Casts around the nodes that stay in float32.

Tensors between two float32 nodes stay in float32, so values that overflow fp16 are never converted
to it. Inputs and outputs of the model are float32.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from engine.build.fp16.value_ranges import float_tensors
from engine.errors import BuildFailed
from engine.onnx import graph_io

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def convert(model: ModelProto, float_outputs: frozenset[str]) -> ModelProto:
    """Converts a model to fp16, except the nodes whose first output is in `float_outputs`."""
    writer = _Writer(frozenset(float_tensors(model)), weights_of(model))
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        writer.write(node, in_half=node.output[0] not in float_outputs, outputs=outputs)
    return assembled(model, writer.nodes, writer.constants)


@dataclass(slots=True)
class _Writer:
    tensors: frozenset[str]
    weights: dict[str, np.ndarray]
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)
    in_half: set[str] = field(default_factory=set)
    cast: set[str] = field(default_factory=set)

    def write(self, node: NodeProto, in_half: bool, outputs: set[str]) -> None:
        copied = NodeProto()
        copied.CopyFrom(node)
        copied.input[:] = [self._as(name, in_half) for name in node.input]
        self.nodes.append(copied)
        if not in_half:
            return
        for place, name in enumerate(node.output):
            if name not in self.tensors:
                continue
            if name in outputs:
                copied.output[place] = f"{name}/half"
                self.cast.add(f"{name}/half")  # exists already if another node reads the output
                self._cast(f"{name}/half", name, FLOAT)
            else:
                self.in_half.add(name)

    def _as(self, name: str, half: bool) -> str:
        """Name of the tensor or weights in fp16 (`half`) or float32, cast if necessary."""
        if name in self.weights:
            return self._weights_in_half(name) if half else name
        if name not in self.tensors or half == (name in self.in_half):
            return name
        other = f"{name}/{'half' if half else 'float'}"
        if other not in self.cast:
            self._cast(name, other, HALF if half else FLOAT)
        return other

    def _cast(self, name: str, other: str, to: int) -> None:
        self.cast.add(other)
        self.nodes.append(helper.make_node("Cast", [name], [other], name=f"{other}/cast", to=to))

    def _weights_in_half(self, name: str) -> str:
        half_name = f"{name}/half"
        if half_name not in self.constants:
            self.constants[half_name] = numpy_helper.from_array(
                to_half(self.weights[name]), half_name
            )
        return half_name


def to_half(values: np.ndarray) -> np.ndarray:
    """Rounds values to fp16; values that overflow become infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(values.astype(np.float16))


def weights_of(model: ModelProto) -> dict[str, np.ndarray]:
    """The float32 constants of a graph."""
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == FLOAT
    }


def refuse_control_flow(model: ModelProto) -> None:
    """Raises BuildFailed for a model whose nodes have subgraphs."""
    for node in model.graph.node:
        if any(True for _ in graph_io.subgraphs_of(node)):
            raise BuildFailed(
                f"The model has control flow ({node.op_type}), which is not built in fp16; export "
                f"it without, or build it in fp32."
            )


def assembled(
    model: ModelProto, nodes: list[NodeProto], constants: dict[str, TensorProto]
) -> ModelProto:
    """`model` with other nodes and additional constants, without unused constants."""
    used = {name for node in nodes for name in node.input}
    used_weights = [tensor for tensor in model.graph.initializer if tensor.name in used]
    graph = helper.make_graph(
        nodes,
        model.graph.name,
        model.graph.input,
        model.graph.output,
        [*used_weights, *constants.values()],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
