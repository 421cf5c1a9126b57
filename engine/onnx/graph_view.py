"""A read-only view of an ONNX graph: producers and consumers of tensors, constants, shapes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from engine.onnx import graph_io

SPATIAL = ({2, 3}, {-2, -1})
PROBE_BATCH = 7919
"""A batch size that equals no other dimension of a network: a large prime."""


@dataclass(frozen=True, slots=True)
class GraphView:
    """Lookup tables of one graph, by tensor name.

    `shapes` has None for dynamic dimensions; tensors of unknown rank are missing. `non_float32` are
    tensors of another data type. `batch` is the first dimension of the graph's input, None where it
    is dynamic. `merged_batch` are tensors with another dynamic first dimension, such as
    (batch * tokens, c).
    """

    producers: dict[str, NodeProto]
    consumers: dict[str, list[NodeProto]]
    constants: dict[str, np.ndarray]
    shapes: dict[str, list[int | None]]
    outputs: frozenset[str]
    non_float32: frozenset[str] = frozenset()
    batch: int | None = None
    merged_batch: frozenset[str] = frozenset()

    def is_measurable(self, tensor: str) -> bool:
        """Whether a tensor is float32 and its first dimension counts the images."""
        shape = self.shapes.get(tensor)
        is_known = shape is not None and len(shape) >= 2
        is_known = is_known and tensor not in self.non_float32 and tensor not in self.merged_batch
        return is_known and shape is not None and shape[0] == self.batch

    def only_consumer(self, tensor: str) -> NodeProto | None:
        """The only node that reads `tensor`; None for several, none, or an output of the graph."""
        consumers = self.consumers.get(tensor, [])
        return consumers[0] if len(consumers) == 1 and tensor not in self.outputs else None

    def is_vector(self, tensor: str) -> bool:
        """Whether a tensor has one value per channel: (n, c), or (n, c, 1, 1)."""
        shape = self.shapes.get(tensor)
        return shape is not None and len(shape) >= 2 and all(size == 1 for size in shape[2:])

    def channels(self, tensor: str) -> int | None:
        """Size of dimension 1; None where it is unknown."""
        shape = self.shapes.get(tensor)
        return shape[1] if shape is not None and len(shape) >= 2 else None


def view_of(model: ModelProto) -> GraphView:
    """Builds the lookup tables of a graph; `constants` are its initializers."""
    light = graph_io.without_weights(model)
    graph = shape_inference.infer_shapes(light).graph
    consumers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            consumers[name].append(node)
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {
        value.name: graph_io.shape_of(value)
        for value in values
        if value.type.tensor_type.HasField("shape")
    }
    non_float32 = {
        v.name for v in values if v.type.tensor_type.elem_type not in (TensorProto.FLOAT, 0)
    }
    input_shape = shapes.get(model.graph.input[0].name, []) if model.graph.input else []
    return GraphView(
        producers={name: node for node in model.graph.node for name in node.output},
        consumers=dict(consumers),
        constants={t.name: numpy_helper.to_array(t) for t in model.graph.initializer},
        shapes=shapes,
        outputs=frozenset(value.name for value in model.graph.output),
        non_float32=frozenset(non_float32),
        batch=input_shape[0] if input_shape else None,
        merged_batch=_merged_batch_tensors(light)
        if input_shape and input_shape[0] is None
        else frozenset(),
    )


def _merged_batch_tensors(model: ModelProto) -> frozenset[str]:
    """Tensors whose first dimension is not PROBE_BATCH where the input has PROBE_BATCH images."""
    del model.graph.value_info[:]  # declared as dynamic
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = PROBE_BATCH
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    firsts = {value.name: (graph_io.shape_of(value) or [None])[0] for value in graph.value_info}
    return frozenset(name for name, size in firsts.items() if size not in (None, PROBE_BATCH))


def attributes_of(node: NodeProto) -> dict[str, object]:
    """A node's attributes as plain values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def group_count(node: NodeProto) -> int:
    """Number of groups of a convolution."""
    return int(attributes_of(node).get("group", 1))  # type: ignore[call-overload]


def clip_bounds(node: NodeProto, constants: dict[str, np.ndarray]) -> tuple[float, float]:
    """(min, max) of a Clip; infinite where a bound is missing or not constant."""
    bounds = [-np.inf, np.inf]
    for position, name in enumerate(node.input[1:3]):
        if name in constants:
            bounds[position] = float(constants[name].reshape(-1)[0])  # shape () or (1,)
    return bounds[0], bounds[1]


def is_global_average(node: NodeProto, constants: dict[str, np.ndarray]) -> bool:
    """Whether a node averages over height and width."""
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type != "ReduceMean":
        return False
    axes = attributes_of(node).get("axes")
    if len(node.input) > 1:
        axes = constants.get(node.input[1])
    return axes is not None and set(np.asarray(axes).tolist()) in SPATIAL
