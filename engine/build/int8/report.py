"""What an int8 build did to each layer: noise, range, saturation, and why a layer is in float."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from engine.build.int8.mixed_precision.mixed_precision import Mixed
from engine.build.int8.mixed_precision.sensitivity import decibels
from engine.build.int8.passes.hard_swish import LINE
from engine.build.int8.qdq.placement import WEIGHTED
from engine.build.int8.qdq.qparams import Grid, choose_grids
from engine.build.int8.qdq.weights import channel_axis, quantize_layer
from engine.onnx import graph_io
from engine.runtimes.observing import plain_session_of
from engine.store.int8_report import Int8Report, LayerReport


def report_of(
    source: ModelProto, mixed: Mixed, images: Iterable[np.ndarray], threads: int
) -> Int8Report:
    """Every layer of `source` in graph order, and the share of work in int8.

    `images` are (1, 3, h, w). Layers have the names of their weights in `source`.
    """
    names = {
        node.output[0]: node.input[1].removesuffix(".weight")
        for node in source.graph.node
        if node.op_type in WEIGHTED
    }
    placing = mixed.prepared.placing
    view = placing.view
    nodes = [
        node
        for node in mixed.prepared.model.graph.node
        if node.op_type in WEIGHTED
        and node.input[1] in view.constants
        and not node.output[0].endswith(LINE)
    ]
    grids = choose_grids(placing, mixed.prepared.ranges, mixed.target.activations)
    stored = {name: grids[name] for name in placing.stored if name != graph_io.INPUT}
    seen = _measured(mixed.prepared.model, stored, images, threads)
    work = {node.output[0]: _macs(node, view.constants, view.shapes) for node in nodes}
    total = max(sum(work.values()), 1)
    layers = []
    for node in nodes:
        name = node.output[0]
        reason = placing.floating.get(name)
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
    model: ModelProto, grids: dict[str, Grid], images: Iterable[np.ndarray], threads: int
) -> dict[str, tuple[float, float]]:
    """(SQNR in dB, share beyond the range) of each stored tensor, one image at a time."""
    if not grids:
        return {}
    shown = ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in grids
    )
    session = plain_session_of(shown, threads)
    sums = {name: np.zeros(4) for name in grids}
    for image in images:
        values = session.run(None, {graph_io.INPUT: image})
        for (name, grid), value in zip(grids.items(), values, strict=True):
            sums[name] += _sums(value, grid)
    return {
        name: (decibels(wrong / max(power, 1e-30)), beyond / max(count, 1.0))
        for name, (power, wrong, beyond, count) in sums.items()
    }


def _sums(value: np.ndarray, grid: Grid) -> np.ndarray:
    limits = np.iinfo(grid.dtype)
    places = np.round(value / grid.step) + grid.zero
    kept = np.clip(places, limits.min, limits.max)
    wrong = (kept - grid.zero) * grid.step - value
    beyond = np.count_nonzero(places != kept)
    return np.array([(value**2).sum(), (wrong**2).sum(), beyond, value.size], np.float64)


def _weights_sqnr(node: NodeProto, constants: dict[str, np.ndarray], in_pairs: bool) -> float:
    values = constants[node.input[1]]
    whole, steps = quantize_layer(node, values, in_pairs)
    weights = np.moveaxis(values, channel_axis(node), 0).astype(np.float64)
    kept = whole * steps.reshape(-1, *[1] * (weights.ndim - 1))
    return decibels(float(((kept - weights) ** 2).sum() / max((weights**2).sum(), 1e-30)))


def _stored_output(node: NodeProto, mixed: Mixed, stored: dict[str, Grid]) -> str | None:
    """The tensor that holds a layer's output in 8 bits: its own, or that of what fuses with it."""
    tensor: str | None = node.output[0]
    for _ in range(3):
        if tensor is None or tensor in stored:
            return tensor
        reader = mixed.prepared.placing.view.only_reader(tensor)
        follows = reader is not None and reader.op_type in ("Relu", "Clip", "Mul")
        tensor = reader.output[0] if follows and reader is not None else None
    return tensor if tensor in stored else None


def _effect(name: str, output: str | None, mixed: Mixed) -> float | None:
    if mixed.ranking is None:
        return None
    effects = mixed.ranking.effects
    parts = [effects.weights.get(name), effects.tensors.get(output or "")]
    known = [part for part in parts if part is not None]
    return decibels(sum(known)) if known else None


def _end(grid: Grid | None, end: int) -> float | None:
    if grid is None:
        return None
    limits = np.iinfo(grid.dtype)
    return float(((limits.min, limits.max)[end] - grid.zero) * grid.step)


def _macs(
    node: NodeProto, constants: dict[str, np.ndarray], shapes: dict[str, list[int | None]]
) -> int:
    size = int(constants[node.input[1]].size)
    if node.op_type == "Conv":
        for side in shapes.get(node.output[0], [])[2:]:
            size *= side or 1
    return size
