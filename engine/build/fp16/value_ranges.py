"""The largest magnitude of every tensor over some images, and of the sums that poolings make.

The graph itself reduces each tensor to one number, so that a batch leaves nothing else. What a
pooling adds up is the mean of the magnitudes times their number.
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
    """Largest magnitudes seen: of tensors by name, and of the sums of nodes by their output."""

    values: dict[str, float]
    sums: dict[str, float]

    @property
    def largest(self) -> tuple[str, float]:
        """The tensor of largest magnitude, with it."""
        return max(self.values.items(), key=lambda one: one[1])


def float_tensors(model: ModelProto) -> dict[str, list[int | None]]:
    """Computed float32 tensors with their shapes; empty where it is not known."""
    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {v.name: graph_io.shape_of(v) for v in values if graph_io.is_float32(v)}


def extremes_of(model: ModelProto, batches: Iterable[np.ndarray], threads: int) -> Extremes:
    """Of every float tensor. Raises BuildFailed naming the first one that is not finite."""
    tensors = float_tensors(model)
    summed = _summed(model, tensors)
    names = [*tensors, *summed]
    session = session_of(_with_extremes(model, list(tensors), summed), threads)
    largest = np.zeros(len(names))
    for batch in batches:
        found = np.array([float(v) for v in session.run(None, {graph_io.INPUT: batch})])
        _require_finite(names, found)
        largest = np.maximum(largest, found)
    values = largest[: len(tensors)]
    sums = [
        float(mean) * _size(tensors[name])
        for mean, name in zip(largest[len(tensors) :], summed.values(), strict=True)
    ]
    return Extremes(
        dict(zip(tensors, values.tolist(), strict=True)), dict(zip(summed, sums, strict=True))
    )


def _summed(model: ModelProto, tensors: dict[str, list[int | None]]) -> dict[str, str]:
    """Output -> input of the nodes that add up feature maps of known size."""
    return {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type in SUMMING and _size(tensors.get(node.input[0], []))
    }


def _size(shape: list[int | None]) -> int:
    """Values in one channel of a feature map; 0 for what is none."""
    return prod(side or 0 for side in shape[2:]) if len(shape) == 4 else 0


def _with_extremes(model: ModelProto, tensors: list[str], summed: dict[str, str]) -> ModelProto:
    """The model with a number for each tensor, then one for each sum, as its outputs."""
    augmented = ModelProto()
    augmented.CopyFrom(model)
    graph = augmented.graph
    del graph.output[:]
    wanted = [(f"largest/{name}", name, False) for name in tensors]
    wanted += [(f"largest mean/{output}", name, True) for output, name in summed.items()]
    for output, name, pooled in wanted:
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


def _require_finite(names: list[str], found: np.ndarray) -> None:
    wrong = [name for name, value in zip(names, found, strict=True) if not np.isfinite(value)]
    if wrong:
        raise BuildFailed(
            f"Tensor {wrong[0]!r} takes values that are not finite in fp32 already; the model "
            f"cannot be built in fp16."
        )
