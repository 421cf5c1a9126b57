"""The largest magnitude of every tensor over some images, and of the sums of pooling layers.

The graph itself reduces each tensor to one number, so no tensor is stored. The sum of a pooling
layer is the mean magnitude times the number of values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, shape_inference

from engine.build.fp16.limits import SUMMING
from engine.errors import BuildFailed
from engine.onnx import graph_io
from engine.runtimes.observing import session_of


@dataclass(frozen=True, slots=True)
class Extremes:
    """Largest magnitudes: of tensors by name, and of sums by the output of their node."""

    values: dict[str, float]
    sums: dict[str, float]

    @property
    def largest(self) -> tuple[str, float]:
        """The tensor with the largest magnitude: (name, magnitude)."""
        return max(self.values.items(), key=lambda item: item[1])


def float_tensors(model: ModelProto) -> dict[str, list[int | None]]:
    """Shapes of the computed float32 tensors by name; empty if unknown."""
    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {v.name: graph_io.shape_of(v) for v in values if graph_io.is_float32(v)}


def extremes_of(model: ModelProto, batches: Iterable[np.ndarray], threads: int) -> Extremes:
    """Extremes of all float tensors over `batches`. Raises BuildFailed for a non-finite tensor."""
    tensors = float_tensors(model)
    summed = _summed(model, tensors)
    names = [*tensors, *summed]
    session = session_of(_with_extremes(model, list(tensors), summed), threads)
    largest = np.zeros(len(names))
    for batch in batches:
        magnitudes = np.array([float(v) for v in session.run(None, {graph_io.INPUT: batch})])
        _require_finite(names, magnitudes)
        largest = np.maximum(largest, magnitudes)
    values = largest[: len(tensors)]
    sums = [
        float(mean) * _size(tensors[name])
        for mean, name in zip(largest[len(tensors) :], summed.values(), strict=True)
    ]
    return Extremes(
        dict(zip(tensors, values.tolist(), strict=True)), dict(zip(summed, sums, strict=True))
    )


def _summed(model: ModelProto, tensors: dict[str, list[int | None]]) -> dict[str, str]:
    """Output -> input of the nodes that sum feature maps of a known size."""
    return {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type in SUMMING and _size(tensors.get(node.input[0], []))
    }


def _size(shape: list[int | None]) -> int:
    """Number of values in a channel of a feature map; 0 for any other shape."""
    return prod(side or 0 for side in shape[2:]) if len(shape) == 4 else 0


def _with_extremes(model: ModelProto, tensors: list[str], summed: dict[str, str]) -> ModelProto:
    """The model with the largest magnitude of each tensor, then of each mean, as its outputs."""
    augmented = ModelProto()
    augmented.CopyFrom(model)
    graph = augmented.graph
    del graph.output[:]
    outputs = [(f"largest/{name}", name, False) for name in tensors]
    outputs += [(f"largest mean/{output}", name, True) for output, name in summed.items()]
    for output, name, pooled in outputs:
        graph.node.extend(_nodes(output, name, pooled))
        graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    return augmented


def _nodes(output: str, tensor: str, pooled: bool) -> list[NodeProto]:
    make, absolute = helper.make_node, f"{output}/abs"
    nodes = [make("Abs", [tensor], [absolute])]
    if pooled:
        nodes.append(make("GlobalAveragePool", [absolute], [f"{output}/mean"]))
        absolute = f"{output}/mean"
    return [*nodes, make("ReduceMax", [absolute], [output], keepdims=0)]


def _require_finite(names: list[str], magnitudes: np.ndarray) -> None:
    not_finite = [
        name for name, value in zip(names, magnitudes, strict=True) if not np.isfinite(value)
    ]
    if not_finite:
        raise BuildFailed(
            f"Tensor {not_finite[0]!r} has values that are not finite in fp32 already; the model "
            f"cannot be built in fp16."
        )
