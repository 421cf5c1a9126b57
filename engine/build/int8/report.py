"""What an int8 build did to each layer: noise, range, saturation, and why a layer is in float."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from engine.build.int8.mixed_precision.mixed_precision import MixedPrecisionBuild
from engine.build.int8.mixed_precision.sensitivity import noise_to_sqnr_db
from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.build.int8.qdq.placement import WEIGHTED_OPS
from engine.build.int8.qdq.qparams import QParams, choose_qparams
from engine.build.int8.qdq.weights import channel_axis, quantize_layer
from engine.build.int8.sessions import plain_session_of
from engine.onnx import graph_io
from engine.store.int8_report import Int8Report, LayerReport


def create_report(
    source: ModelProto, mixed: MixedPrecisionBuild, images: Iterable[np.ndarray], threads: int
) -> Int8Report:
    """Every layer of `source` in graph order, and the share of work in int8.

    `images` are (1, 3, h, w). Layers have the names of their weights in `source`.
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
    stored = {name: qparams[name] for name in placement.quantized if name != graph_io.INPUT}
    seen = _measured(mixed.prepared.model, stored, images, threads)
    work = {node.output[0]: _macs(node, view.constants, view.shapes) for node in nodes}
    total = max(sum(work.values()), 1)
    layers = []
    for node in nodes:
        name = node.output[0]
        reason = placement.float_nodes.get(name)
        output = _stored_output(node, mixed, stored)
        sqnr, saturated = seen.get(output, (None, None)) if output else (None, None)
        grid = stored.get(output) if output else None
        layers.append(
            LayerReport(
                layer=names.get(name, name),
                tensor=name,
                op=node.op_type,
                precision="float" if reason else "int8",
                reason=reason,
                macs_share=work[name] / total,
                weights_sqnr_db=None
                if reason
                else _weights_sqnr(node, view.constants, mixed.target.adds_pairs_in_16_bits),
                output=output,
                output_sqnr_db=sqnr,
                low=_end(grid, 0),
                high=_end(grid, 1),
                saturated=saturated,
                effect_db=None if reason else _effect(name, output, mixed),
            )
        )
    in_int8 = sum(layer.macs_share for layer in layers if layer.precision == "int8")
    return Int8Report(macs_in_int8=in_int8, layers=layers)


def _measured(
    model: ModelProto, qparams: dict[str, QParams], images: Iterable[np.ndarray], threads: int
) -> dict[str, tuple[float, float]]:
    """(SQNR in dB, share beyond the range) of each stored tensor, one image at a time."""
    if not qparams:
        return {}
    shown = ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in qparams
    )
    session = plain_session_of(shown, threads)
    sums = {name: np.zeros(4) for name in qparams}
    for image in images:
        values = session.run(None, {graph_io.INPUT: image})
        for (name, grid), value in zip(qparams.items(), values, strict=True):
            sums[name] += _sums(value, grid)
    return {
        name: (noise_to_sqnr_db(wrong / max(power, 1e-30)), beyond / max(count, 1.0))
        for name, (power, wrong, beyond, count) in sums.items()
    }


def _sums(value: np.ndarray, grid: QParams) -> np.ndarray:
    limits = np.iinfo(grid.dtype)
    places = np.round(value / grid.scale) + grid.zero_point
    kept = np.clip(places, limits.min, limits.max)
    wrong = (kept - grid.zero_point) * grid.scale - value
    beyond = np.count_nonzero(places != kept)
    return np.array([(value**2).sum(), (wrong**2).sum(), beyond, value.size], np.float64)


def _weights_sqnr(node: NodeProto, constants: dict[str, np.ndarray], bound_pairs: bool) -> float:
    values = constants[node.input[1]]
    whole, steps = quantize_layer(node, values, bound_pairs)
    weights = np.moveaxis(values, channel_axis(node), 0).astype(np.float64)
    kept = whole * steps.reshape(-1, *[1] * (weights.ndim - 1))
    return noise_to_sqnr_db(float(((kept - weights) ** 2).sum() / max((weights**2).sum(), 1e-30)))


def _stored_output(
    node: NodeProto, mixed: MixedPrecisionBuild, stored: dict[str, QParams]
) -> str | None:
    """The tensor that holds a layer's output in 8 bits: its own, or that of what fuses with it."""
    tensor: str | None = node.output[0]
    for _ in range(3):
        if tensor is None or tensor in stored:
            return tensor
        consumer = mixed.prepared.placement.view.only_consumer(tensor)
        follows = consumer is not None and consumer.op_type in ("Relu", "Clip", "Mul")
        tensor = consumer.output[0] if follows and consumer is not None else None
    return tensor if tensor in stored else None


def _effect(name: str, output: str | None, mixed: MixedPrecisionBuild) -> float | None:
    if mixed.analysis is None:
        return None
    sensitivity = mixed.analysis.sensitivity
    parts = [sensitivity.weights.get(name), sensitivity.tensors.get(output or "")]
    known = [part for part in parts if part is not None]
    return noise_to_sqnr_db(sum(known)) if known else None


def _end(grid: QParams | None, end: int) -> float | None:
    if grid is None:
        return None
    limits = np.iinfo(grid.dtype)
    return float(((limits.min, limits.max)[end] - grid.zero_point) * grid.scale)


def _macs(
    node: NodeProto, constants: dict[str, np.ndarray], shapes: dict[str, list[int | None]]
) -> int:
    size = int(constants[node.input[1]].size)
    if node.op_type == "Conv":
        for side in shapes.get(node.output[0], [])[2:]:
            size *= side or 1
    return size
