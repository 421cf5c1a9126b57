"""Selects the layers to exclude: by default those with the most noise for their MACs.

MACs do not depend on the machine, so the same request gives the same layers everywhere. A search
for an accuracy constraint orders the layers by measured time instead (`exclusion_order.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto

from engine.build.int8 import pipeline
from engine.build.int8.mixed_precision.exclusion_order import Exclusion
from engine.build.int8.mixed_precision.sensitivity import (
    Sensitivity,
    create_scorer,
    measure_sensitivity,
)
from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.build.int8.pipeline import PreparedModel
from engine.build.int8.targets import Target
from engine.onnx.graph_view import GraphView

NEGLIGIBLE_NOISE = 0.01
"""Below this noise (SQNR above 20 dB) quantization hardly changes a class: no layer is excluded."""
RESOLUTION = 1000
"""Steps of the knapsack capacity: a thousandth of all MACs each."""
ANALYSIS_LIMIT_S = 180.0


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution, named by its output tensor; `macs` per image."""

    output: str
    macs: int


def list_layers(model: ModelProto, view: GraphView) -> list[Layer]:
    """All convolutions with constant weights, without those of HardSwish gates."""
    return [
        Layer(node.output[0], _macs(node, view))
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.input[1] in view.constants
        and not node.output[0].endswith(GATE_LINE)
    ]


def select_layers(
    layers: list[Layer], gains: dict[str, float], max_float_share: float
) -> frozenset[str]:
    """The layers with the largest total gain whose MACs are at most `max_float_share` of all MACs.

    Solves the knapsack problem, exactly for MACs rounded up to 1 / RESOLUTION of the total.
    """
    total = sum(layer.macs for layer in layers)
    budget = int(max_float_share * RESOLUTION)
    best_gain = np.zeros(budget + 1)
    selected: list[frozenset[str]] = [frozenset()] * (budget + 1)
    for layer in layers:
        cost = int(np.ceil(layer.macs * RESOLUTION / max(total, 1)))
        gain = gains.get(layer.output, 0.0)
        if gain <= 0 or cost > budget:
            continue
        for capacity in range(budget, cost - 1, -1):
            if best_gain[capacity - cost] + gain > best_gain[capacity]:
                best_gain[capacity] = best_gain[capacity - cost] + gain
                selected[capacity] = selected[capacity - cost] | {layer.output}
    return selected[budget]


def _macs(node: NodeProto, view: GraphView) -> int:
    weights = view.constants[node.input[1]]
    return int(weights.size * prod(size or 1 for size in view.shapes.get(node.output[0], [])[2:]))


@dataclass(frozen=True, slots=True)
class SensitivityAnalysis:
    """The layers of a model, and the sensitivity of its scores to their quantization."""

    layers: list[Layer]
    sensitivity: Sensitivity
    view: GraphView

    @classmethod
    def from_sensitivity(
        cls, prepared: PreparedModel, sensitivity: Sensitivity
    ) -> SensitivityAnalysis:
        """The analysis of a prepared model from a sensitivity measured before."""
        view = prepared.placement.view
        return cls(list_layers(prepared.model, view), sensitivity, view)

    def select(self, max_float_share: float) -> frozenset[str]:
        """The layers to exclude, with at most `max_float_share` of all MACs."""
        return select_layers(self.layers, self.sensitivity.layers, max_float_share)

    def select_by_time(self, path: list[Exclusion], max_float_share: float) -> frozenset[str]:
        """The layers to exclude in the order of `path`, with at most `max_float_share` of MACs.

        A layer that does not fit is left out, and the next of the path is tried.
        """
        selected: frozenset[str] = frozenset()
        for previous, exclusion in pairwise(path):
            for name in sorted(exclusion.layers - previous.layers):
                if self.macs_share(selected | {name}) <= max_float_share:
                    selected |= {name}
        return selected

    def macs_share(self, float_layers: frozenset[str]) -> float:
        """Share (0 to 1) of `float_layers` in the MACs of all convolutions."""
        total = sum(layer.macs for layer in self.layers)
        return sum(layer.macs for layer in self.layers if layer.output in float_layers) / max(
            total, 1
        )


def analyze_sensitivity(
    prepared: PreparedModel,
    target: Target,
    images: np.ndarray,
    threads: int,
    progress: Callable[[int, int], None],
    negligible_noise: float = NEGLIGIBLE_NOISE,
    with_tensors: bool = False,
) -> SensitivityAnalysis:
    """Measures the sensitivity to each layer on `images` (n, 3, h, w), in ANALYSIS_LIMIT_S."""
    sensitivity = measure_sensitivity(
        pipeline.create_fake_quantizer(prepared, target),
        create_scorer(images, threads),
        negligible_noise,
        ANALYSIS_LIMIT_S,
        progress,
        with_tensors,
    )
    return SensitivityAnalysis.from_sensitivity(prepared, sensitivity)
