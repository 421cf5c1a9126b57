"""Measures the errors of all tensors of an int8 model: emulated, and in each runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto

from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.build.int8.qdq.placement import WEIGHTED_OPS
from engine.errors import WorkbenchError
from engine.layer_errors.graphs import Watched, isolated, observed, unchanged, watched_tensors
from engine.layer_errors.range_loss import RangeLoss
from engine.layer_errors.records import HARD_SWISH_GATE, RuntimeErrors, TensorErrors
from engine.layer_errors.reference import Reference
from engine.layer_errors.se_roles import se_roles
from engine.layer_errors.sums import Distance, Noise, Sums
from engine.onnx import graph_io
from engine.runtimes.tensor_readers import EMULATED, Reader, open_reader

MOVING_OPS = frozenset({"DequantizeLinear", "QuantizeLinear", "Pad", "Transpose"})
Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Measured:
    """The errors of all tensors, the number of images, and why a runtime could not compute."""

    tensors: list[TensorErrors]
    images: int
    missing: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Readers:
    """The graphs of one runtime; `unchanged` has the outputs of the model alone.

    What is read in the middle of a graph is not fused away, so only the unchanged one is what users
    run: its scores count.
    """

    observed: Reader
    isolated: Reader
    unchanged: Reader | None = None


def measure_layer_errors(
    model: ModelProto,
    images: Iterable[np.ndarray],
    runtimes: Iterable[str],
    threads: int,
    reference: Reference | None = None,
    progress: Progress = lambda images_done: None,
) -> Measured:
    """The errors of every watched tensor of a QDQ model over `images`, each (1, 3, h, w).

    Without a `reference` the errors against fp32 are None. A runtime that cannot load the graphs is
    left out; `missing` has its sentence.
    """
    watched = watched_tensors(model)
    sums = {one.output: Sums(range_loss=RangeLoss(one.is_symmetric)) for one in watched}
    exact = reference.reader([one.tensor for one in watched], threads) if reference else None
    whole = open_reader(EMULATED, observed(model, watched), "int8", threads)
    readers: dict[str, _Readers] = {}
    missing: dict[str, str] = {}
    ends = [value.name for value in model.graph.output]
    inputs: list[str] = []
    count = 0
    for image in images:
        emulated = dict(zip(sums, whole({graph_io.INPUT: image}), strict=True))
        if not readers:
            shapes = {name: value.shape for name, value in emulated.items()}
            cut = isolated(model, watched, shapes)
            inputs = [value.name for value in cut.graph.input]
            readers[EMULATED] = _Readers(whole, open_reader(EMULATED, cut, "int8", threads))
            for name in runtimes:
                try:
                    graphs = observed(model, watched), cut, unchanged(model)
                    readers[name] = _Readers(
                        *(open_reader(name, one, "int8", threads) for one in graphs)
                    )
                except WorkbenchError as error:
                    missing[name] = str(error)
        expected = exact.read(image) if exact is not None else {}
        stored = _exact_inputs(watched, expected, emulated)
        feeds = {name: stored[name] for name in inputs if name != graph_io.INPUT}
        if graph_io.INPUT in inputs:
            feeds[graph_io.INPUT] = image
        alone: dict[str, np.ndarray] = {}
        for name, reader in readers.items():
            values = emulated
            if reader.unchanged is not None:
                values = dict(zip(sums, reader.observed({graph_io.INPUT: image}), strict=True))
                values |= zip(ends, reader.unchanged({graph_io.INPUT: image}), strict=True)
            single = dict(zip(sums, reader.isolated(feeds), strict=True))
            alone = single if name == EMULATED else alone
            _add(watched, sums, name, expected, values, single, alone)
        _add_rounding(watched, sums, expected, stored, alone)
        count += 1
        progress(count)
    names = reference.layer_names() if reference is not None else {}
    roles = se_roles(model)
    tensors = [
        _record(one, sums[one.output], names, roles, [name for name in readers if name != EMULATED])
        for one in watched
    ]
    return Measured(tensors, count, missing)


def _exact_inputs(
    watched: list[Watched], expected: Mapping[str, np.ndarray], emulated: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What each part of the isolated graph reads: fp32 as stored, else what the emulation gave."""
    return {
        one.output: one.store(expected[one.tensor])
        if one.tensor in expected
        else emulated[one.output]
        for one in watched
        if one.is_quantized
    }


def _add(
    watched: list[Watched],
    sums: dict[str, Sums],
    name: str,
    expected: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    single: Mapping[str, np.ndarray],
    emulated: Mapping[str, np.ndarray],
) -> None:
    """Adds the errors of one reader for one image."""
    for one in watched:
        total = sums[one.output]
        own = single[one.output]
        if one.tensor in expected:
            exact = expected[one.tensor]
            total.single.setdefault(name, Noise()).add(exact, one.read(own))
            total.accumulated.setdefault(name, Noise()).add(exact, one.read(values[one.output]))
        if name != EMULATED:
            total.distance.setdefault(name, Distance()).add(_levels(one, own, emulated[one.output]))


def _levels(one: Watched, values: np.ndarray, emulated: np.ndarray) -> np.ndarray:
    """Distance from the emulated values: in levels, for a float tensor in 1/255 of its range."""
    if one.is_quantized:
        return np.abs(values.astype(np.int32) - emulated.astype(np.int32))
    level = max(float(np.ptp(emulated)) / 255, 1e-12)
    return np.asarray(np.abs(values - emulated) / level)


def _add_rounding(
    watched: list[Watched],
    sums: dict[str, Sums],
    expected: Mapping[str, np.ndarray],
    stored: Mapping[str, np.ndarray],
    computed: Mapping[str, np.ndarray],
) -> None:
    for one in watched:
        if not one.is_quantized or one.tensor not in expected:
            continue
        total, exact, levels = sums[one.output], expected[one.tensor], stored[one.output]
        read = one.read(levels)
        total.rounding.add(exact, read)
        total.range_loss.add(exact, read)
        total.deviation.add(read, one.read(computed[one.output]))
        limits = np.iinfo(levels.dtype)
        at_end = (levels == limits.min) | (levels == limits.max)
        total.clipped += _beyond_range(one, exact, levels, at_end)
        total.values += levels.size
        total.lowest = min(total.lowest, int(levels.min()))
        total.highest = max(total.highest, int(levels.max()))


def _beyond_range(one: Watched, exact: np.ndarray, levels: np.ndarray, at_end: np.ndarray) -> int:
    """Number of values that are further from the end of the range than rounding explains."""
    assert one.scale is not None
    distance = np.abs(exact - one.read(levels))
    return int((at_end & (distance > 0.51 * float(one.scale.max()))).sum())


def _record(
    one: Watched,
    total: Sums,
    names: Mapping[str, str],
    roles: Mapping[str, str],
    runtimes: list[str],
) -> TensorErrors:
    layers = [
        node
        for node in one.nodes
        if node.op_type in WEIGHTED_OPS and not node.output[0].endswith(GATE_LINE)
    ]
    in_runtime = {
        name: RuntimeErrors(
            single_db=_db(total.single, name),
            accumulated_db=_db(total.accumulated, name),
            differing=distance.beyond / max(distance.values, 1),
            levels=distance.largest,
            mean_levels=distance.total / max(distance.values, 1),
        )
        for name in runtimes
        if (distance := total.distance.get(name)) is not None
    }
    levels = 255 if total.values else 0
    scale = float(one.scale.max()) if one.scale is not None else None
    deviation = total.deviation.rms
    return TensorErrors(
        tensor=one.tensor,
        layers=[names.get(node.output[0], node.output[0]) for node in reversed(layers)],
        op=_last_operator(one.nodes),
        precision="int8" if one.is_quantized else "float",
        se_role=roles.get(one.tensor, ""),
        rounding_db=total.rounding.sqnr_db,
        single_db=_db(total.single, EMULATED),
        accumulated_db=_db(total.accumulated, EMULATED),
        clipped=total.clipped / total.values if total.values else None,
        saturates=one.saturates,
        scale=scale,
        written_scale=one.written_scale,
        zero_point=one.zero,
        written_zero_point=one.written_zero_point,
        range_loss_db=total.range_loss.db,
        deviation_levels=deviation / scale if deviation is not None and scale else None,
        deviation=total.deviation.share,
        used=(total.highest - total.lowest) / levels if levels else None,
        runtimes=in_runtime,
    )


def _db(noises: Mapping[str, Noise], name: str) -> float | None:
    return noises[name].sqnr_db if name in noises else None


def _last_operator(nodes: tuple[NodeProto, ...]) -> str:
    """The operator that computes a tensor, without quantizers and what only moves values."""
    if any(node.output[0].endswith(GATE_LINE) for node in nodes):
        return HARD_SWISH_GATE
    return next((node.op_type for node in nodes if node.op_type not in MOVING_OPS), "")
