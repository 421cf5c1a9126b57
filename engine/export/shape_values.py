"""Constant folding of values that a graph computes from shapes, where they do not depend on batch.

Exporters compute the pads of "SAME" convolutions and the targets of Reshape from the image shape.
Shape inference stops at such arithmetic, and later layers can then not be counted or quantized.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, numpy_helper

from engine.onnx import graph_io
from engine.runtimes.shape_inference import values_by_run

BATCHES = (1, 2, 3)
MAX_ELEMENTS = 64
"""Maximum size of a tensor that is folded."""


def fold_shape_values(model: ModelProto, side: int) -> int:
    """Folds tensors that depend on shapes only and are equal for all BATCHES; returns how many.

    The input is (any batch, 3, side, side), so such values can depend on the batch size only.
    """
    names = _from_shapes(model.graph)
    if not names:
        return 0
    runs = [values_by_run(model, names, side, batch) for batch in BATCHES]
    first = runs[0]
    constants = {
        name: value
        for name, value in first.items()
        if value.size <= MAX_ELEMENTS
        and all(name in run and np.array_equal(run[name], value) for run in runs[1:])
    }
    if not constants:
        return 0
    remaining = [node for node in model.graph.node if not set(node.output) <= constants.keys()]
    graph_io.set_nodes(model.graph, remaining)
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    graph_io.prune(model.graph)
    return len(constants)


def _from_shapes(graph: GraphProto) -> list[str]:
    """Names of tensors that depend only on the shapes of other tensors."""
    constants = {tensor.name for tensor in graph.initializer} | {""}
    names: list[str] = []
    shape_tensors: set[str] = set()
    for node in graph.node:
        only_shapes = (
            shape_tensors.intersection(node.input) and set(node.input) <= shape_tensors | constants
        )
        random = node.op_type.startswith("Random") or any(True for _ in graph_io.subgraphs_of(node))
        if node.op_type in ("Shape", "Size") or (only_shapes and not random):
            names += node.output
            shape_tensors.update(node.output)
    return names
