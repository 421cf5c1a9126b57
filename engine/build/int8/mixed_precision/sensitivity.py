"""What each rounding does to the scores: one tensor or one layer's weights at a time.

Noise is the mean square of the change in the scores (each image's mean taken off: softmax ignores
it) over that of the scores themselves. Roundings are nearly independent, so their noise adds up,
and the sum over what is kept in float tells beforehand what keeping it would gain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from engine.build.int8.qdq.placement import WEIGHTED, Placing
from engine.build.int8.qdq.qparams import Grid
from engine.build.int8.qdq.weights import channel_axis, quantize_layer
from engine.build.int8.qdq.writer import mean_output
from engine.onnx import graph_io
from engine.runtimes.observing import plain_session_of

Scores = Callable[[ModelProto], np.ndarray]


@dataclass(frozen=True, slots=True)
class Effects:
    """Noise by stored tensor, and by layer (its output) for weights; `whole` is of all at once.

    What was not measured, for want of time, is not in them.
    """

    whole: float
    tensors: dict[str, float]
    weights: dict[str, float]


def noise(scores: np.ndarray, wanted: np.ndarray) -> float:
    """Mean square of the difference over that of `wanted` (images, classes), both centered."""
    right = wanted - wanted.mean(axis=1, keepdims=True)
    wrong = scores - scores.mean(axis=1, keepdims=True) - right
    return float((wrong**2).sum() / max(float((right**2).sum()), 1e-30))


def decibels(share: float) -> float:
    """Signal to noise ratio in dB of noise relative to the signal."""
    return float(-10 * np.log10(max(share, 1e-12)))


def scores_on(images: np.ndarray, threads: int) -> Scores:
    """A function from a model to its scores on these images, with rounding left as written."""

    def run(model: ModelProto) -> np.ndarray:
        session = plain_session_of(model, threads)
        parts = [
            session.run(None, {graph_io.INPUT: images[i : i + 8]})[0]
            for i in range(0, len(images), 8)
        ]
        return np.concatenate(parts)

    return run


@dataclass(frozen=True, slots=True)
class Rounding:
    """A float graph, and the grids that would be laid over it; `in_pairs` as in `weights.py`."""

    model: ModelProto
    placing: Placing
    grids: dict[str, Grid]
    means: dict[str, np.ndarray]
    in_pairs: bool

    def layers(self) -> list[NodeProto]:
        """Convolutions and Gemms that are to compute in integers."""
        return [
            node
            for node in self.model.graph.node
            if node.op_type in WEIGHTED and node.output[0] not in self.placing.floating
        ]


def measure(
    rounding: Rounding,
    scores: Scores,
    clean: float,
    limit_s: float,
    progress: Callable[[int, int], None],
) -> Effects:
    """Effects of every rounding, weights first, until `limit_s` have gone by.

    Where all of them together stay below `clean`, none is measured by itself.
    """
    wanted = scores(rounding.model)
    stored = frozenset(rounding.placing.stored)
    whole = noise(scores(rounded(rounding, stored, rounding.layers())), wanted)
    tensors: dict[str, float] = {}
    weights: dict[str, float] = {}
    if whole <= clean:
        return Effects(whole, tensors, weights)
    end = time.monotonic() + limit_s
    layers = rounding.layers()
    total = len(layers) + len(stored)
    for done, layer in enumerate(layers):
        if time.monotonic() > end:
            break
        weights[layer.output[0]] = noise(scores(rounded(rounding, frozenset(), [layer])), wanted)
        progress(done + 1, total)
    for done, name in enumerate(rounding.placing.stored, len(layers)):
        if time.monotonic() > end:
            break
        tensors[name] = noise(scores(rounded(rounding, frozenset({name}), [])), wanted)
        progress(done + 1, total)
    return Effects(whole, tensors, weights)


def rounded(rounding: Rounding, tensors: frozenset[str], layers: Iterable[NodeProto]) -> ModelProto:
    """The float graph with these tensors and the weights of these layers rounded."""
    model = ModelProto()
    model.CopyFrom(rounding.model)
    _round_weights(model, rounding, {layer.output[0] for layer in layers})
    nodes = [*_rounding_nodes(model, "input", rounding.grids)] if "input" in tensors else []
    for node in model.graph.node:
        copied = NodeProto()
        copied.CopyFrom(node)
        copied.input[:] = [f"{n}/rounded" if n in tensors else n for n in node.input]
        nodes.append(copied)
        for output in node.output:
            if output in tensors:
                nodes += _rounding_nodes(model, output, rounding.grids)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _rounding_nodes(model: ModelProto, tensor: str, grids: dict[str, Grid]) -> list[NodeProto]:
    grid = grids[tensor]
    names = [f"{tensor}/step", f"{tensor}/zero"]
    _add(model, names[0], np.array(grid.step, np.float32))
    _add(model, names[1], np.array(grid.zero, grid.dtype))
    return [
        helper.make_node("QuantizeLinear", [tensor, *names], [f"{tensor}/whole"]),
        helper.make_node("DequantizeLinear", [f"{tensor}/whole", *names], [f"{tensor}/rounded"]),
    ]


def _round_weights(model: ModelProto, rounding: Rounding, layers: set[str]) -> None:
    constants = rounding.placing.view.constants
    for node in model.graph.node:
        if node.output[0] not in layers:
            continue
        weights = constants[node.input[1]]
        axis = channel_axis(node)
        rows = np.moveaxis(weights, axis, 0)
        whole, steps = quantize_layer(node, weights, rounding.in_pairs)
        kept = (whole * steps.reshape(-1, *[1] * (rows.ndim - 1))).astype(np.float32)
        stored = np.ascontiguousarray(np.moveaxis(kept, 0, axis))
        node.input[1] = _add(model, f"{node.output[0]}/rounded weights", stored)
        means = rounding.means.get(node.input[0])
        if means is not None:
            bias = constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(rows))
            bias = bias + mean_output(node, rows - kept, means)
            del node.input[2:]
            node.input.append(_add(model, f"{node.output[0]}/moved bias", bias.astype(np.float32)))


def _add(model: ModelProto, name: str, value: np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name
