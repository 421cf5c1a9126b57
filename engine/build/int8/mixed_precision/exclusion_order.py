"""The order in which a search excludes layers: the most noise removed per added millisecond first.

Excluding a layer removes the noise of its quantizers and changes its time from that in int8 to that
in float. Conversions are part of the price: a map between int8 and float is converted at every
boundary, and between two layers in float it is neither converted nor rounded. So runs of up to
MAX_RUN neighboring layers are candidates, too. What is faster in float and removes noise comes
first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from onnx import ModelProto

from engine.build.int8.mixed_precision.layer_times import LayerTimes
from engine.build.int8.mixed_precision.sensitivity import Sensitivity
from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.build.int8.qdq.placement import QuantizerPlacement, place_quantizers
from engine.onnx.graph_view import GraphView

MAX_RUN = 3
FREE_MS = 1e-4
"""A price below this counts as this much, so that free exclusions are ordered by their noise."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Layers excluded so far: the noise removed, and the milliseconds added to full int8."""

    layers: frozenset[str]
    noise: float
    price_ms: float


class ExclusionPrices:
    """Noise removed and time added by a set of excluded layers of a model prepared in full int8."""

    def __init__(
        self,
        model: ModelProto,
        view: GraphView,
        required: frozenset[str],
        sensitivity: Sensitivity,
        times: LayerTimes,
    ) -> None:
        self.model, self.view, self.required = model, view, required
        self.sensitivity, self.times = sensitivity, times
        placement = self._place(frozenset())
        self._quantized = frozenset(placement.quantized)
        self._conversions_ms = self._conversion_ms(placement)
        self._found: dict[frozenset[str], Exclusion] = {}

    def exclusion(self, layers: frozenset[str]) -> Exclusion:
        """What excluding exactly these layers does."""
        if layers not in self._found:
            placement = self._place(layers)
            tensors = self._quantized - frozenset(placement.quantized)
            noise = sum(self.sensitivity.layers.get(name, 0.0) for name in layers)
            noise += sum(self.sensitivity.tensors.get(name, 0.0) for name in tensors)
            price = sum(self.times.price_ms(name) for name in layers)
            price += self._conversion_ms(placement) - self._conversions_ms
            self._found[layers] = Exclusion(layers, noise, price)
        return self._found[layers]

    def _place(self, layers: frozenset[str]) -> QuantizerPlacement:
        excluded = self.required | layers
        gates = {
            consumer.output[0]
            for name in excluded
            for consumer in self.view.consumers.get(name, [])
            if consumer.output[0].endswith(GATE_LINE)
        }
        return place_quantizers(self.model, excluded | gates, self.view)

    def _conversion_ms(self, placement: QuantizerPlacement) -> float:
        """Time of all conversions between int8 and float at the borders of float nodes."""
        stored, in_float, total = set(placement.quantized), placement.float_nodes, 0.0
        for tensor in placement.quantized:
            producer = self.view.producers.get(tensor)
            if producer is not None and producer.output[0] in in_float:
                total += self._map_ms(tensor)
        for node in self.model.graph.node:
            if node.output[0] in in_float:
                total += sum(self._map_ms(name) for name in node.input if name in stored)
        return total

    def _map_ms(self, tensor: str) -> float:
        shape = self.view.shapes.get(tensor, [])
        return self.times.conversion_ms(prod(size or 1 for size in shape[1:]))


def order_exclusions(prices: ExclusionPrices, layers: Iterable[str]) -> list[Exclusion]:
    """Growing sets of excluded layers, from none to all that remove noise, greedily.

    `layers` in graph order; each step adds a layer or a run of neighbors.
    """
    names = [name for name in layers if name not in prices.required]
    runs = [
        frozenset(names[start : start + length])
        for length in range(1, MAX_RUN + 1)
        for start in range(len(names) - length + 1)
    ]
    path = [prices.exclusion(frozenset())]
    while True:
        last = path[-1]
        found = [
            prices.exclusion(last.layers | run)
            for run in _promising(prices, runs, last)
            if not run <= last.layers
        ]
        found = [candidate for candidate in found if candidate.noise > last.noise]
        if not found:
            return path
        path.append(max(found, key=lambda candidate: _gain(candidate, last)))


def _gain(candidate: Exclusion, last: Exclusion) -> float:
    """Noise removed per millisecond added."""
    return (candidate.noise - last.noise) / max(candidate.price_ms - last.price_ms, FREE_MS)


MAX_CANDIDATES = 24


def _promising(
    prices: ExclusionPrices, runs: list[frozenset[str]], last: Exclusion
) -> list[frozenset[str]]:
    """The runs with the best gain on their own, and those next to an excluded layer."""
    left = [run for run in runs if not run <= last.layers]
    empty = prices.exclusion(frozenset())
    left.sort(key=lambda run: _gain(prices.exclusion(run), empty), reverse=True)
    beside = [run for run in left[MAX_CANDIDATES:] if run & last.layers]
    return left[:MAX_CANDIDATES] + beside[:MAX_CANDIDATES]
