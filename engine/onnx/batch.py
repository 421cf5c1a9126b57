"""Makes the batch dimension dynamic in a graph that was exported for one batch size."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper, shape_inference

from engine.onnx import graph_io


def set_batch(model: ModelProto, batch: int | None) -> None:
    """Declares the first dimension of input and output: `batch`, or dynamic where None."""
    del model.graph.value_info[:]
    for value in (model.graph.input[0], model.graph.output[0]):
        dimension = value.type.tensor_type.shape.dim[0]
        if batch is None:
            dimension.dim_param = graph_io.BATCH
        else:
            dimension.dim_value = batch


def open_batch(model: ModelProto, batch: int) -> int:
    """Makes the batch dynamic, in place; returns the number of Reshape nodes rewritten for it.

    A Reshape is rewritten where its input has a dynamic first dimension and its target shape begins
    with a constant multiple of `batch`: the target becomes (-1, the other dimensions as they are
    for `batch` images). Other operators that contain the batch size are not changed, so the caller
    must check that the new graph computes the same.
    """
    set_batch(model, batch)
    fixed_shapes = _infer_shapes(model)
    set_batch(model, None)
    rewritten = 0
    while (node := _find_fixed_reshape(model, fixed_shapes, batch)) is not None:
        dimensions = fixed_shapes[node.output[0]][1:]
        target = f"{node.output[0]}/shape of any batch"
        values = np.array([-1, *dimensions], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(values, target))
        node.input[1] = target
        rewritten += 1
    return rewritten


def _find_fixed_reshape(
    model: ModelProto, fixed_shapes: dict[str, list[int | None]], batch: int
) -> NodeProto | None:
    """The first Reshape with a constant batch whose input has a dynamic first dimension."""
    open_shapes = _infer_shapes(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).reshape(-1)
        input_shape, output_shape = open_shapes.get(node.input[0]), fixed_shapes.get(node.output[0])
        if input_shape is None or output_shape is None or not len(input_shape) or not len(target):
            continue
        is_known = (
            all(size is not None for size in output_shape[1:]) and output_shape[0] is not None
        )
        is_fixed = target[0] > 0 and is_known and int(output_shape[0] or 0) % batch == 0
        if input_shape[0] is None and is_fixed:
            return node
    return None


def _infer_shapes(model: ModelProto) -> dict[str, list[int | None]]:
    graph = shape_inference.infer_shapes(graph_io.without_weights(model), data_prop=True).graph
    return {
        value.name: graph_io.shape_of(value)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
