"""Sensitivity analysis: the noise that each single quantizer causes in the scores.

A quantizer is that of one tensor or of one layer's weights. Noise is the mean square of the change
in the scores, divided by the mean square of the scores (the mean over classes is subtracted for
each image, because softmax ignores it). Quantization errors are nearly independent, so noises add
up, and the noise removed by excluding several layers is the sum of theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.build.int8.qdq.placement import WEIGHTED_OPS, QuantizerPlacement
from engine.build.int8.qdq.qparams import QParams
from engine.build.int8.qdq.weights import channel_axis, quantize_layer
from engine.build.int8.qdq.writer import mean_output
from engine.onnx import graph_io
from engine.runtimes.observing import plain_session_of

Scorer = Callable[[ModelProto], np.ndarray]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Relative noise by quantized tensor, by layer (its output) for weights, and of full int8.

    Quantizers that were not measured within the time limit are missing.
    """

    full_int8: float
    tensors: dict[str, float]
    weights: dict[str, float]


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
            session.run(None, {graph_io.INPUT: images[i : i + 8]})[0]
            for i in range(0, len(images), 8)
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
) -> Sensitivity:
    """Measures every quantizer, weights first, for at most `limit_s` seconds.

    Where the noise of full int8 is at most `negligible_noise`, single quantizers are not measured.
    """
    reference = score(quantizer.model)
    quantized = frozenset(quantizer.placement.quantized)
    full_int8 = relative_noise(
        score(fake_quantize(quantizer, quantized, quantizer.layers())), reference
    )
    tensors: dict[str, float] = {}
    weights: dict[str, float] = {}
    if full_int8 <= negligible_noise:
        return Sensitivity(full_int8, tensors, weights)
    deadline = time.monotonic() + limit_s
    layers = quantizer.layers()
    total = len(layers) + len(quantized)
    for done, layer in enumerate(layers):
        if time.monotonic() > deadline:
            break
        weights[layer.output[0]] = relative_noise(
            score(fake_quantize(quantizer, frozenset(), [layer])), reference
        )
        progress(done + 1, total)
    for done, name in enumerate(quantizer.placement.quantized, len(layers)):
        if time.monotonic() > deadline:
            break
        tensors[name] = relative_noise(
            score(fake_quantize(quantizer, frozenset({name}), [])), reference
        )
        progress(done + 1, total)
    return Sensitivity(full_int8, tensors, weights)


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
        integers, scales = quantize_layer(node, weights, quantizer.bound_pairs)
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
