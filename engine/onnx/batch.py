"""Opens the batch dimension of a graph that was written for one batch size."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper, shape_inference

from engine.onnx import graph_io


def set_batch(model: ModelProto, batch: int | None) -> None:
    """Declares the first dimension of input and output: `batch`, or open where None."""
    del model.graph.value_info[:]
    for value in (model.graph.input[0], model.graph.output[0]):
        dimension = value.type.tensor_type.shape.dim[0]
        if batch is None:
            dimension.dim_param = graph_io.BATCH
        else:
            dimension.dim_value = batch


def open_batch(model: ModelProto, batch: int) -> int:
    """Opens the batch in place, and mends each Reshape that has it as a constant; returns how many.

    Where the first dimension of what a Reshape reads is the batch and its target begins with a
    constant, the other dimensions are what they are for `batch` images, and the first follows: rows
    are stored one image after another. Other operators that hold the batch are left as they are;
    whether the opened graph computes the same is for the caller to check.
    """
    set_batch(model, batch)
    fixed = _shapes(model)
    set_batch(model, None)
    mended = 0
    while (node := _baked(model, fixed, batch)) is not None:
        rest = fixed[node.output[0]][1:]
        target = f"{node.output[0]}/shape of any batch"
        values = np.array([-1, *rest], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(values, target))
        node.input[1] = target
        mended += 1
    return mended


def _baked(model: ModelProto, fixed: dict[str, list[int | None]], batch: int) -> NodeProto | None:
    """The first Reshape that holds the batch and reads a tensor whose first dimension is open."""
    opened = _shapes(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).reshape(-1)
        source, made = opened.get(node.input[0]), fixed.get(node.output[0])
        if source is None or made is None or not len(source) or not len(target):
            continue
        known = all(size is not None for size in made[1:]) and made[0] is not None
        holds = target[0] > 0 and known and int(made[0] or 0) % batch == 0
        if source[0] is None and holds:
            return node
    return None


def _shapes(model: ModelProto) -> dict[str, list[int | None]]:
    graph = shape_inference.infer_shapes(graph_io.without_weights(model), data_prop=True).graph
    return {
        value.name: graph_io.shape_of(value)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
