"""Which layers go back to float: those whose rounding costs most for the work they are.

Keeping a layer in float removes the noise of its weights, that of what its HardSwish reads (the
gate then works in float too), and its part in the tensors on either side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto

from engine.build.int8 import pipeline
from engine.build.int8.mixed_precision.sensitivity import Effects, measure, scores_on
from engine.build.int8.passes.hard_swish import LINE
from engine.build.int8.pipeline import Prepared
from engine.build.int8.targets import Target
from engine.onnx.graph_view import GraphView

CLEAN_NOISE = 0.01
"""Below this (20 dB) rounding hardly moves a class, and no layer is returned."""
RESOLUTION = 1000


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution by its output; `macs` for one image."""

    output: str
    macs: int


def layers_of(model: ModelProto, view: GraphView) -> list[Layer]:
    """Every convolution with constant weights, the lines of gates aside."""
    return [
        Layer(node.output[0], _macs(node, view))
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.input[1] in view.constants
        and not node.output[0].endswith(LINE)
    ]


def gain_of(layer: Layer, effects: Effects, view: GraphView, share: float) -> float:
    """Noise that goes away when a layer computes in float, as far as it was measured.

    A tensor between two layers goes unrounded only when both are in float: each is credited with
    half of it, times the `share` of work in float, as the chance that the other one is too.
    """
    gain = effects.weights.get(layer.output, 0.0)
    tensor, gated = layer.output, False
    for reader in view.readers.get(tensor, []):
        if reader.output[0].endswith(LINE):
            clip = view.only_reader(reader.output[0])
            gain += effects.tensors.get(clip.output[0], 0.0) if clip else 0.0
            gated = True
    if gated:
        return gain + effects.tensors.get(tensor, 0.0)
    around = [view.makers[tensor].input[0], _stored_as(tensor, view)]
    return gain + share * sum(effects.tensors.get(name, 0.0) for name in around) / 2


def choose(layers: list[Layer], gains: dict[str, float], share: float) -> frozenset[str]:
    """The layers of largest gain in all whose work is at most `share` of the whole.

    The knapsack problem, exact on a grid of a thousandth of the work.
    """
    total = sum(layer.macs for layer in layers)
    budget = int(share * RESOLUTION)
    best = np.zeros(budget + 1)
    chosen: list[frozenset[str]] = [frozenset()] * (budget + 1)
    for layer in layers:
        cost = int(np.ceil(layer.macs * RESOLUTION / max(total, 1)))
        gain = gains.get(layer.output, 0.0)
        if gain <= 0 or cost > budget:
            continue
        for room in range(budget, cost - 1, -1):
            if best[room - cost] + gain > best[room]:
                best[room] = best[room - cost] + gain
                chosen[room] = chosen[room - cost] | {layer.output}
    return chosen[budget]


def _stored_as(tensor: str, view: GraphView) -> str:
    reader = view.only_reader(tensor)
    fuses = reader is not None and reader.op_type in ("Relu", "Clip")
    return reader.output[0] if fuses and reader is not None else tensor


def _macs(node: NodeProto, view: GraphView) -> int:
    weights = view.constants[node.input[1]]
    return int(weights.size * prod(size or 1 for size in view.shapes.get(node.output[0], [])[2:]))


EFFECTS_S = 180.0


@dataclass(frozen=True, slots=True)
class Ranking:
    """The layers of a model, and what rounding each does to the scores."""

    layers: list[Layer]
    effects: Effects
    view: GraphView

    @classmethod
    def of(cls, prepared: Prepared, effects: Effects) -> Ranking:
        """The ranking of a prepared model whose effects are known."""
        view = prepared.placing.view
        return cls(layers_of(prepared.model, view), effects, view)

    def keep(self, share: float) -> frozenset[str]:
        """The layers to keep in float when they may do so much of the work."""
        gains = {x.output: gain_of(x, self.effects, self.view, share) for x in self.layers}
        return choose(self.layers, gains, share)

    def share(self, kept: frozenset[str]) -> float:
        """Of the work of all convolutions, what `kept` do."""
        total = sum(layer.macs for layer in self.layers)
        return sum(layer.macs for layer in self.layers if layer.output in kept) / max(total, 1)


def rank(
    prepared: Prepared,
    target: Target,
    images: np.ndarray,
    threads: int,
    count: Callable[[int, int], None],
    clean: float = CLEAN_NOISE,
) -> Ranking:
    """Measures on `images` (n, 3, h, w) what each rounding does; at most EFFECTS_S seconds."""
    rounding = pipeline.rounding_of(prepared, target)
    effects = measure(rounding, scores_on(images, threads), clean, EFFECTS_S, count)
    return Ranking.of(prepared, effects)
