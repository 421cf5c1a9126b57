"""Ranges of activations over calibration images, in memory that does not grow with their number.

`max` mode: the smallest and the largest value of every tensor. The graph itself reduces each
tensor to two scalars, so a batch leaves nothing behind but its extremes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, TensorProto, helper, shape_inference

from engine import onnx_graph
from engine.errors import BuildFailed

Ranges = dict[str, tuple[float, float]]


def max_ranges(
    model: ModelProto,
    batches: Iterable[np.ndarray],
    threads: int,
    progress: Callable[[int], None],
) -> Ranges:
    """(low, high) of every float32 activation over all batches; `progress` gets images seen.

    Raises BuildFailed naming the tensor when a value is not finite, and when there is no image.
    """
    names = _float_activations(model)
    session = _session(_with_extremes(model, names), threads)
    low = np.full(len(names), np.inf)
    high = np.full(len(names), -np.inf)
    seen = 0
    for batch in batches:
        extremes = np.array(session.run(None, {onnx_graph.INPUT: batch}), np.float64)
        _require_finite(names, extremes.reshape(2, -1))
        lows, highs = extremes.reshape(2, -1)
        low, high = np.minimum(low, lows), np.maximum(high, highs)
        seen += len(batch)
        progress(seen)
    if seen == 0:
        raise BuildFailed("Calibration needs at least one image, the set gave none.")
    return {n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)}


def _float_activations(model: ModelProto) -> list[str]:
    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    floats = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    constants = {tensor.name for tensor in graph.initializer}
    produced = [graph.input[0].name, *(name for node in graph.node for name in node.output)]
    return [name for name in produced if name in floats and name not in constants]


def _with_extremes(model: ModelProto, names: list[str]) -> ModelProto:
    augmented = ModelProto()
    augmented.CopyFrom(model)
    graph = augmented.graph
    del graph.output[:]
    for op in ("ReduceMin", "ReduceMax"):
        for name in names:
            output = f"{op}/{name}"
            graph.node.append(helper.make_node(op, [name], [output], keepdims=0))
            graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, []))
    return augmented


def _session(model: ModelProto, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calibration.onnx"
        onnx.save(model, path)
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _require_finite(names: list[str], extremes: np.ndarray) -> None:
    wrong = np.flatnonzero(~np.isfinite(extremes).all(axis=0))
    if wrong.size:
        raise BuildFailed(
            f"Tensor {names[wrong[0]]!r} takes values that are not finite on the calibration "
            f"images; the model cannot be quantised."
        )
