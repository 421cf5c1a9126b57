"""Which layers to return to float, by what their rounding does to the scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.build.int8 import pipeline
from engine.build.int8.mixed_precision.layer_selection import (
    CLEAN_NOISE,
    Layer,
    choose,
    gain_of,
    layers_of,
)
from engine.build.int8.mixed_precision.sensitivity import Effects, measure, scores_on
from engine.build.int8.pipeline import Prepared
from engine.build.int8.targets import Target
from engine.onnx.graph_view import GraphView

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
