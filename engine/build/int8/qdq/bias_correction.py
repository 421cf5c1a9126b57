"""Accurate (sequential) bias correction: biases from the means of quantized activations.

The fast correction, made when the file is written, removes the shift that rounding the weights
causes where the inputs are exact. Here the layers are corrected one after the other: each reads
what the quantized layers before it really give, so that shifts of activations (clipping, rounding)
and of earlier layers are removed, too (Nagel et al. 2019, arXiv:1906.04721, section 4.2; NNCF calls
it `fast_bias_correction=False`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.build.int8.qdq.placement import WEIGHTED_OPS
from engine.build.int8.qdq.writer import MAX_BIAS
from engine.onnx import graph_io
from engine.onnx.graph_view import GraphView
from engine.runtimes.observing import plain_session_of

IMAGES_AT_ONCE = 8
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class _Segment:
    """Nodes in order, up to an integer layer (None: the rest of the graph needs no correction)."""

    nodes: list[NodeProto]
    layer: NodeProto


def correct_biases(
    model: ModelProto,
    reference: ModelProto,
    view: GraphView,
    images: np.ndarray,
    threads: int,
    progress: Progress = lambda share: None,
) -> int:
    """Corrects the biases of the integer layers of a QDQ model, in place; returns their number.

    `reference` is the float model it was written from, `view` the view of that; `images` (n, 3, h,
    w). The mean of each output channel before its activation becomes that of `reference`. Gates of
    HardSwish are left out: their input is clipped where it does not matter, which moves their mean.
    """
    segments = list(_segments(model))
    expected = _float_means(reference, view, [s.layer.output[0] for s in segments], images, threads)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    last_use = _last_uses(segments)
    known: dict[str, np.ndarray] = {graph_io.INPUT: images}
    for number, segment in enumerate(segments):
        wanted = {
            name
            for node in segment.nodes
            for name in node.output
            if last_use.get(name, -1) > number
        }
        output = segment.layer.output[0]
        known |= _run(segment, sorted(wanted | {output}), model, constants, known, threads)
        value = known[output]
        shift = expected[output] - _channel_means(value)
        moved = _move_bias(segment.layer, model, constants, shift)
        known[output] = value + moved.astype(np.float32).reshape(1, -1, *[1] * (value.ndim - 2))
        known = {name: value for name, value in known.items() if last_use.get(name, -1) > number}
        progress((number + 1) / len(segments))
    return len(segments)


def _segments(model: ModelProto) -> Iterator[_Segment]:
    """The nodes up to each integer layer; what follows the last one is left out."""
    producers = {node.output[0]: node for node in model.graph.node}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        weights = producers.get(node.input[1]) if node.op_type in WEIGHTED_OPS else None
        is_integer = weights is not None and weights.op_type == "DequantizeLinear"
        if is_integer and len(node.input) > 2 and not node.output[0].endswith(GATE_LINE):
            yield _Segment(nodes, node)
            nodes = []


def _last_uses(segments: list[_Segment]) -> dict[str, int]:
    """Tensor -> number of the last segment that reads it."""
    return {
        name: number
        for number, segment in enumerate(segments)
        for node in segment.nodes
        for name in node.input
    }


def _run(
    segment: _Segment,
    wanted: list[str],
    model: ModelProto,
    constants: dict[str, TensorProto],
    known: dict[str, np.ndarray],
    threads: int,
) -> dict[str, np.ndarray]:
    """The tensors `wanted` of a segment, computed in float between its quantizers."""
    made = {name for node in segment.nodes for name in node.output}
    read = {name for node in segment.nodes for name in node.input if name} - made
    inputs = sorted(read & known.keys())
    graph = helper.make_graph(
        segment.nodes,
        "segment",
        [_value_info(name, known[name]) for name in inputs],
        [helper.make_empty_tensor_value_info(name) for name in wanted],
        [constants[name] for name in sorted(read & constants.keys())],
    )
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = plain_session_of(part, threads)
    count = len(known[inputs[0]])
    parts = [
        session.run_inputs(
            wanted, {name: known[name][start : start + IMAGES_AT_ONCE] for name in inputs}
        )
        for start in range(0, count, IMAGES_AT_ONCE)
    ]
    return {
        name: np.concatenate(values)
        for name, values in zip(wanted, zip(*parts, strict=True), strict=True)
    }


def _value_info(name: str, value: np.ndarray) -> ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(name, kind, ["images", *value.shape[1:]])


def _float_means(
    reference: ModelProto, view: GraphView, names: list[str], images: np.ndarray, threads: int
) -> dict[str, np.ndarray]:
    """Mean of each output channel of the float model, float64 (channels,)."""
    observed = ModelProto()
    observed.CopyFrom(reference)
    del observed.graph.output[:]
    outputs = []
    for name in names:
        is_map = len(view.shapes.get(name, ())) == 4
        mean = f"{name}/mean"
        op = "GlobalAveragePool" if is_map else "Identity"
        observed.graph.node.append(helper.make_node(op, [name], [mean], name=mean))
        observed.graph.output.append(helper.make_tensor_value_info(mean, TensorProto.FLOAT, None))
        outputs.append(mean)
    session = plain_session_of(observed, threads)
    sums = {name: np.zeros(1) for name in names}
    for start in range(0, len(images), IMAGES_AT_ONCE):
        values = session.run(outputs, {graph_io.INPUT: images[start : start + IMAGES_AT_ONCE]})
        for name, value in zip(names, values, strict=True):
            sums[name] = sums[name] + _channel_means(value) * len(value)
    return {name: total / len(images) for name, total in sums.items()}


def _channel_means(value: np.ndarray) -> np.ndarray:
    """Mean over images and positions of (n, channels, ...), float64."""
    axes = (0, *range(2, value.ndim))
    return np.asarray(value.mean(axis=axes, dtype=np.float64))


def _move_bias(
    layer: NodeProto, model: ModelProto, constants: dict[str, TensorProto], shift: np.ndarray
) -> np.ndarray:
    """Adds `shift` to the bias of a layer, in place; returns what was added after rounding."""
    name = layer.input[2]
    producer = next((node for node in model.graph.node if node.output[0] == name), None)
    if producer is None:
        bias = numpy_helper.to_array(constants[name])
        constants[name].CopyFrom(numpy_helper.from_array((bias + shift).astype(np.float32), name))
        return shift
    stored, scales = (numpy_helper.to_array(constants[n]) for n in producer.input[:2])
    moved = np.clip(np.rint(stored + shift / scales), -MAX_BIAS, MAX_BIAS).astype(np.int32)
    constants[producer.input[0]].CopyFrom(numpy_helper.from_array(moved, producer.input[0]))
    return np.asarray((moved.astype(np.int64) - stored) * scales.astype(np.float64))
