"""The layer report of an int8 build: SQNR, range, saturation, and why a layer is in float."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from engine.build.int8.mixed_precision.mixed_precision import MixedPrecisionBuild
from engine.build.int8.mixed_precision.sensitivity import noise_to_sqnr_db
from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.build.int8.qdq.placement import WEIGHTED_OPS
from engine.build.int8.qdq.qparams import QParams, choose_qparams
from engine.build.int8.qdq.weights import channel_axis
from engine.onnx import graph_io
from engine.runtimes.observing import plain_session_of
from engine.store.int8_report import Int8Report, LayerReport


def create_report(
    source: ModelProto, mixed: MixedPrecisionBuild, images: Iterable[np.ndarray], threads: int
) -> Int8Report:
    """Reports every layer of `source` in graph order, and the share of MACs in int8.

    `images` are (1, 3, h, w). Layers are named by their weights in `source`.
    """
    names = {
        node.output[0]: node.input[1].removesuffix(".weight")
        for node in source.graph.node
        if node.op_type in WEIGHTED_OPS
    }
    placement = mixed.prepared.placement
    view = placement.view
    nodes = [
        node
        for node in mixed.prepared.model.graph.node
        if node.op_type in WEIGHTED_OPS
        and node.input[1] in view.constants
        and not node.output[0].endswith(GATE_LINE)
    ]
    qparams = choose_qparams(placement, mixed.prepared.ranges, mixed.target.activations)
    qparams_by_tensor = {
        name: qparams[name] for name in placement.quantized if name != graph_io.INPUT
    }
    measured = _measure_outputs(mixed.prepared.model, qparams_by_tensor, images, threads)
    macs = {node.output[0]: _macs(node, view.constants, view.shapes) for node in nodes}
    total = max(sum(macs.values()), 1)
    layers = []
    for node in nodes:
        name = node.output[0]
        reason = placement.float_nodes.get(name)
        output = _quantized_output(node, mixed, qparams_by_tensor)
        sqnr, saturated = measured.get(output, (None, None)) if output else (None, None)
        tensor_qparams = qparams_by_tensor.get(output) if output else None
        layers.append(
            LayerReport(
                layer=names.get(name, name),
                tensor=name,
                op=node.op_type,
                precision="float" if reason else "int8",
                reason=reason,
                macs_share=macs[name] / total,
                weights_sqnr_db=None if reason else _weights_sqnr_db(node, mixed),
                output=output,
                output_sqnr_db=sqnr,
                low=_range_end(tensor_qparams, 0),
                high=_range_end(tensor_qparams, 1),
                saturated=saturated,
                effect_db=None if reason else _logits_sqnr_db(name, output, mixed),
                int8_ms=mixed.times.int8_ms.get(name) if mixed.times else None,
                float_ms=mixed.times.float_ms.get(name) if mixed.times else None,
            )
        )
    macs_in_int8 = sum(layer.macs_share for layer in layers if layer.precision == "int8")
    return Int8Report(macs_in_int8=macs_in_int8, layers=layers)


def _measure_outputs(
    model: ModelProto, qparams: dict[str, QParams], images: Iterable[np.ndarray], threads: int
) -> dict[str, tuple[float, float]]:
    """(SQNR in dB, share of clipped values) of each tensor; runs one image at a time."""
    if not qparams:
        return {}
    observed = ModelProto()
    observed.CopyFrom(model)
    del observed.graph.output[:]
    observed.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in qparams
    )
    session = plain_session_of(observed, threads)
    sums = {name: np.zeros(4) for name in qparams}
    with ThreadPoolExecutor(threads) as pool:
        for image in images:
            values = session.run(None, {graph_io.INPUT: image})
            for name, found in zip(
                qparams, pool.map(_error_sums, values, qparams.values()), strict=True
            ):
                sums[name] += found
    return {
        name: (noise_to_sqnr_db(error_power / max(signal_power, 1e-30)), clipped / max(count, 1.0))
        for name, (signal_power, error_power, clipped, count) in sums.items()
    }


def _error_sums(value: np.ndarray, tensor_qparams: QParams) -> np.ndarray:
    """Signal power, error power, number of clipped values, number of values."""
    limits, scale = np.iinfo(tensor_qparams.dtype), tensor_qparams.scale
    value = value.reshape(-1)
    levels = value / scale
    np.rint(levels, out=levels)
    levels += tensor_qparams.zero_point
    stored = np.clip(levels, limits.min, limits.max)
    clipped = np.count_nonzero(levels != stored)
    stored -= tensor_qparams.zero_point
    stored *= scale
    stored -= value
    powers = np.vdot(value, value), np.vdot(stored, stored)
    return np.array([*powers, clipped, value.size], np.float64)


def _weights_sqnr_db(node: NodeProto, mixed: MixedPrecisionBuild) -> float:
    prepared = mixed.prepared
    values = prepared.placement.view.constants[node.input[1]]
    integers, scales = prepared.weight_cache.quantize(
        node, values, mixed.target.adds_pairs_in_16_bits
    )
    weights = np.moveaxis(values, channel_axis(node), 0).reshape(len(scales), -1)
    error = integers.reshape(weights.shape) * scales[:, None].astype(np.float32) - weights
    signal_power = float(np.vdot(weights, weights))
    return noise_to_sqnr_db(float(np.vdot(error, error)) / max(signal_power, 1e-30))


def _quantized_output(
    node: NodeProto, mixed: MixedPrecisionBuild, qparams_by_tensor: dict[str, QParams]
) -> str | None:
    """The quantized output of a layer: its own, or that of the node fused to it; None for float."""
    tensor: str | None = node.output[0]
    for _ in range(3):
        if tensor is None or tensor in qparams_by_tensor:
            return tensor
        consumer = mixed.prepared.placement.view.only_consumer(tensor)
        is_fused = consumer is not None and consumer.op_type in ("Relu", "Clip", "Mul")
        tensor = consumer.output[0] if is_fused and consumer is not None else None
    return tensor if tensor in qparams_by_tensor else None


def _logits_sqnr_db(name: str, output: str | None, mixed: MixedPrecisionBuild) -> float | None:
    if mixed.analysis is None:
        return None
    sensitivity = mixed.analysis.sensitivity
    parts = [sensitivity.layers.get(name), sensitivity.tensors.get(output or "")]
    measured = [part for part in parts if part is not None]
    return noise_to_sqnr_db(sum(measured)) if measured else None


def _range_end(tensor_qparams: QParams | None, end: int) -> float | None:
    if tensor_qparams is None:
        return None
    limits = np.iinfo(tensor_qparams.dtype)
    return float(((limits.min, limits.max)[end] - tensor_qparams.zero_point) * tensor_qparams.scale)


def _macs(
    node: NodeProto, constants: dict[str, np.ndarray], shapes: dict[str, list[int | None]]
) -> int:
    size = int(constants[node.input[1]].size)
    if node.op_type == "Conv":
        for side in shapes.get(node.output[0], [])[2:]:
            size *= side or 1
    return size
