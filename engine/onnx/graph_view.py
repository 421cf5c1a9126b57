"""A read-only view of an ONNX graph: who makes a tensor, who reads it, which are constants."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from engine.onnx import graph_io

SPATIAL = ({2, 3}, {-2, -1})
IMAGES = 7919
"""A batch that is no other size of a network: a prime, and large."""


@dataclass(frozen=True, slots=True)
class GraphView:
    """`shapes` has None for open dimensions; tensors of unknown rank are not in it.

    `others` are known to hold no float32; `batch` is the first dimension of the graph's input;
    `merged` are known to have another one, such as (batch * tokens, c), though it is open too.
    """

    makers: dict[str, NodeProto]
    readers: dict[str, list[NodeProto]]
    constants: dict[str, np.ndarray]
    shapes: dict[str, list[int | None]]
    outputs: frozenset[str]
    others: frozenset[str] = frozenset()
    batch: int | None = None
    merged: frozenset[str] = frozenset()

    def is_measurable(self, tensor: str) -> bool:
        """Whether a tensor holds float32 values with the images along its first dimension."""
        shape = self.shapes.get(tensor)
        known = shape is not None and len(shape) >= 2
        known = known and tensor not in self.others and tensor not in self.merged
        return known and shape is not None and shape[0] == self.batch

    def only_reader(self, tensor: str) -> NodeProto | None:
        """The one node that reads `tensor`, unless there are several or it leaves the graph."""
        readers = self.readers.get(tensor, [])
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None

    def is_vector(self, tensor: str) -> bool:
        """Whether a tensor is one number a channel: (n, c), or (n, c, 1, 1)."""
        shape = self.shapes.get(tensor)
        return shape is not None and len(shape) >= 2 and all(size == 1 for size in shape[2:])

    def channels(self, tensor: str) -> int | None:
        """Size of dimension 1, where it is known."""
        shape = self.shapes.get(tensor)
        return shape[1] if shape is not None and len(shape) >= 2 else None


def view_of(model: ModelProto) -> GraphView:
    """Reads a graph once. Constant nodes count as constants."""
    light = graph_io.without_weights(model)
    graph = shape_inference.infer_shapes(light).graph
    readers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {
        value.name: graph_io.shape_of(value)
        for value in values
        if value.type.tensor_type.HasField("shape")
    }
    others = {v.name for v in values if v.type.tensor_type.elem_type not in (TensorProto.FLOAT, 0)}
    given = shapes.get(model.graph.input[0].name, []) if model.graph.input else []
    return GraphView(
        makers={name: node for node in model.graph.node for name in node.output},
        readers=dict(readers),
        constants={t.name: numpy_helper.to_array(t) for t in model.graph.initializer},
        shapes=shapes,
        outputs=frozenset(value.name for value in model.graph.output),
        others=frozenset(others),
        batch=given[0] if given else None,
        merged=_merged(light) if given and given[0] is None else frozenset(),
    )


def _merged(model: ModelProto) -> frozenset[str]:
    """Tensors whose first dimension, for IMAGES images, is known and is not IMAGES."""
    del model.graph.value_info[:]  # declared as open
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = IMAGES
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    firsts = {value.name: (graph_io.shape_of(value) or [None])[0] for value in graph.value_info}
    return frozenset(name for name, size in firsts.items() if size not in (None, IMAGES))


def attributes_of(node: NodeProto) -> dict[str, object]:
    """A node's attributes as plain values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def group_of(node: NodeProto) -> int:
    """Number of groups of a convolution."""
    return int(attributes_of(node).get("group", 1))  # type: ignore[call-overload]


def clip_bounds(node: NodeProto, constants: dict[str, np.ndarray]) -> tuple[float, float]:
    """(low, high) of a Clip; infinite where it has none, and where a bound is computed."""
    bounds = [-np.inf, np.inf]
    for position, name in enumerate(node.input[1:3]):
        if name in constants:
            bounds[position] = float(constants[name].reshape(-1)[0])  # (1,) is taken as a scalar
    return bounds[0], bounds[1]


def reduces_space(node: NodeProto, constants: dict[str, np.ndarray]) -> bool:
    """Whether a node averages over height and width."""
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type != "ReduceMean":
        return False
    axes = attributes_of(node).get("axes")
    if len(node.input) > 1:
        axes = constants.get(node.input[1])
    return axes is not None and set(np.asarray(axes).tolist()) in SPATIAL
