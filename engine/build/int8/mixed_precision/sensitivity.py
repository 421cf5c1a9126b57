"""Sensitivity analysis: the noise that quantization causes in the scores, layer by layer.

A layer is measured with all the quantizers that disappear when it alone is excluded: that of its
weights and, where a HardSwish reads it, those of its output and of the gate. The quantizers of
other tensors are measured one by one, and only where they are asked for. Noise is the mean square
of the change in the scores, divided by the mean square of the scores (the mean over classes is
subtracted for each image, because softmax ignores it). Quantization errors are nearly independent,
so noises add up, and the noise removed by excluding several layers is the sum of theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.build.int8.qdq.placement import WEIGHTED_OPS, QuantizerPlacement
from engine.build.int8.qdq.qparams import QParams
from engine.build.int8.qdq.weights import WeightCache, channel_axis
from engine.build.int8.qdq.writer import mean_output
from engine.onnx import graph_io
from engine.runtimes.observing import plain_session_of

Scorer = Callable[[ModelProto], np.ndarray]
IMAGES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Relative noise of full int8, by layer (its output), and by quantized tensor.

    `layers` has the noise that excluding this layer alone removes, `tensors` that of the other
    quantized tensors. What was not asked for, or not measured within the time limit, is missing.
    """

    full_int8: float
    layers: dict[str, float]
    tensors: dict[str, float]


def relative_noise(scores: np.ndarray, reference: np.ndarray) -> float:
    """Mean square of scores - reference over that of reference, (images, classes), centered."""
    signal = reference - reference.mean(axis=1, keepdims=True)
    error = scores - scores.mean(axis=1, keepdims=True) - signal
    return float((error**2).sum() / max(float((signal**2).sum()), 1e-30))


def noise_to_sqnr_db(noise: float) -> float:
    """SQNR in dB of a noise relative to the signal."""
    return float(-10 * np.log10(max(noise, 1e-12)))


def create_scorer(images: np.ndarray, threads: int) -> Scorer:
    """A function that returns the scores of a model on `images`, without fusing Q and DQ nodes."""

    def run(model: ModelProto) -> np.ndarray:
        session = plain_session_of(model, threads)
        parts = [
            session.run(None, {graph_io.INPUT: images[i : i + IMAGES_AT_ONCE]})[0]
            for i in range(0, len(images), IMAGES_AT_ONCE)
        ]
        return np.concatenate(parts)

    return run


@dataclass(frozen=True, slots=True)
class FakeQuantizer:
    """A float graph and the quantization parameters to simulate; `bound_pairs` as in weights.py."""

    model: ModelProto
    placement: QuantizerPlacement
    qparams: dict[str, QParams]
    channel_means: dict[str, np.ndarray]
    bound_pairs: bool
    weight_cache: WeightCache

    def layers(self) -> list[NodeProto]:
        """Convolutions and Gemms to be quantized."""
        return [
            node
            for node in self.model.graph.node
            if node.op_type in WEIGHTED_OPS and node.output[0] not in self.placement.float_nodes
        ]


def measure_sensitivity(
    quantizer: FakeQuantizer,
    score: Scorer,
    negligible_noise: float,
    limit_s: float,
    progress: Callable[[int, int], None],
    with_tensors: bool = False,
) -> Sensitivity:
    """Measures every layer, then the other tensors if `with_tensors`, for at most `limit_s` s.

    Where the noise of full int8 is at most `negligible_noise`, nothing else is measured.
    """
    reference = score(quantizer.model)
    quantized = frozenset(quantizer.placement.quantized)

    def noise(tensors: frozenset[str], layers: Iterable[NodeProto]) -> float:
        return relative_noise(score(fake_quantize(quantizer, tensors, layers)), reference)

    full_int8 = noise(quantized, quantizer.layers())
    noise_of_layers: dict[str, float] = {}
    noise_of_tensors: dict[str, float] = {}
    if full_int8 <= negligible_noise:
        return Sensitivity(full_int8, noise_of_layers, noise_of_tensors)
    units = _list_units(quantizer)
    others = sorted(quantized.difference(*(unit.tensors for unit in units))) if with_tensors else []
    total, deadline = len(units) + len(others), time.monotonic() + limit_s
    for done, unit in enumerate(units):
        if time.monotonic() > deadline:
            break
        noise_of_layers[unit.layers[0].output[0]] = noise(unit.tensors, unit.layers)
        progress(done + 1, total)
    for done, name in enumerate(others, len(units)):
        if time.monotonic() > deadline:
            break
        noise_of_tensors[name] = noise(frozenset({name}), [])
        progress(done + 1, total)
    return Sensitivity(full_int8, noise_of_layers, noise_of_tensors)


@dataclass(frozen=True, slots=True)
class _Unit:
    """A layer (the first of `layers`) with the gates and tensors that are excluded with it."""

    layers: tuple[NodeProto, ...]
    tensors: frozenset[str]


def _list_units(quantizer: FakeQuantizer) -> list[_Unit]:
    view = quantizer.placement.view
    units = []
    for layer in quantizer.layers():
        if layer.output[0].endswith(GATE_LINE):
            continue
        gates = [
            consumer
            for consumer in view.consumers.get(layer.output[0], [])
            if consumer.output[0].endswith(GATE_LINE)
        ]
        tensors = {layer.output[0]} if gates else set()
        for gate in gates:
            clip = view.only_consumer(gate.output[0])
            tensors |= {gate.output[0], *(clip.output if clip is not None else ())}
        quantized = frozenset(tensors & set(quantizer.placement.quantized))
        units.append(_Unit((layer, *gates), quantized))
    return units


def fake_quantize(
    quantizer: FakeQuantizer, tensors: frozenset[str], layers: Iterable[NodeProto]
) -> ModelProto:
    """A copy of the float graph with fake quantization of these tensors and weights."""
    model = ModelProto()
    model.CopyFrom(quantizer.model)
    _fake_quantize_weights(model, quantizer, {layer.output[0] for layer in layers})
    nodes = [*_fake_quantize_nodes(model, "input", quantizer.qparams)] if "input" in tensors else []
    for node in model.graph.node:
        copied = NodeProto()
        copied.CopyFrom(node)
        copied.input[:] = [f"{n}/rounded" if n in tensors else n for n in node.input]
        nodes.append(copied)
        for output in node.output:
            if output in tensors:
                nodes += _fake_quantize_nodes(model, output, quantizer.qparams)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _fake_quantize_nodes(
    model: ModelProto, tensor: str, qparams: dict[str, QParams]
) -> list[NodeProto]:
    tensor_qparams = qparams[tensor]
    names = [f"{tensor}/step", f"{tensor}/zero"]
    _add_constant(model, names[0], np.array(tensor_qparams.scale, np.float32))
    _add_constant(model, names[1], np.array(tensor_qparams.zero_point, tensor_qparams.dtype))
    return [
        helper.make_node("QuantizeLinear", [tensor, *names], [f"{tensor}/whole"]),
        helper.make_node("DequantizeLinear", [f"{tensor}/whole", *names], [f"{tensor}/rounded"]),
    ]


def _fake_quantize_weights(model: ModelProto, quantizer: FakeQuantizer, layers: set[str]) -> None:
    constants = quantizer.placement.view.constants
    for node in model.graph.node:
        if node.output[0] not in layers:
            continue
        weights = constants[node.input[1]]
        axis = channel_axis(node)
        rows = np.moveaxis(weights, axis, 0)
        integers, scales = quantizer.weight_cache.quantize(node, weights, quantizer.bound_pairs)
        dequantized = (integers * scales.reshape(-1, *[1] * (rows.ndim - 1))).astype(np.float32)
        quantized = np.ascontiguousarray(np.moveaxis(dequantized, 0, axis))
        node.input[1] = _add_constant(model, f"{node.output[0]}/rounded weights", quantized)
        channel_means = quantizer.channel_means.get(node.input[0])
        if channel_means is not None:
            bias = constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(rows))
            bias = bias + mean_output(node, rows - dequantized, channel_means)
            del node.input[2:]
            node.input.append(
                _add_constant(model, f"{node.output[0]}/moved bias", bias.astype(np.float32))
            )


def _add_constant(model: ModelProto, name: str, value: np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name
