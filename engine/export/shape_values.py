"""Integers that a graph computes from its shapes, written as constants where no batch changes them.

Exporters compute the pads of "SAME" convolutions and the targets of Reshape from the shape of the
images. Behind such arithmetic no shape can be inferred, and no layer is counted or quantized well.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, numpy_helper

from engine.onnx import graph_io
from engine.runtimes.shape_inference import values_by_run

BATCHES = (1, 2, 3)
LARGEST = 64
"""Numbers in a tensor that is written as a constant."""


def fold_shape_values(model: ModelProto, side: int) -> int:
    """Replaces what is computed from shapes alone and is equal for all BATCHES; returns how many.

    The input is (any batch, 3, side, side), so such values can depend on the batch only.
    """
    names = _from_shapes(model.graph)
    if not names:
        return 0
    runs = [values_by_run(model, names, side, batch) for batch in BATCHES]
    first = runs[0]
    steady = {
        name: value
        for name, value in first.items()
        if value.size <= LARGEST
        and all(name in run and np.array_equal(run[name], value) for run in runs[1:])
    }
    if not steady:
        return 0
    kept = [node for node in model.graph.node if not set(node.output) <= steady.keys()]
    graph_io.set_nodes(model.graph, kept)
    for name, value in steady.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    graph_io.prune(model.graph)
    return len(steady)


def _from_shapes(graph: GraphProto) -> list[str]:
    """Tensors that depend on the shape of other tensors and on nothing else."""
    constants = {tensor.name for tensor in graph.initializer} | {""}
    found: list[str] = []
    known: set[str] = set()
    for node in graph.node:
        only_shapes = known.intersection(node.input) and set(node.input) <= known | constants
        random = node.op_type.startswith("Random") or any(True for _ in graph_io.subgraphs_of(node))
        if node.op_type in ("Shape", "Size") or (only_shapes and not random):
            found += node.output
            known.update(node.output)
    return found
