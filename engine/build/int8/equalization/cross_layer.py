"""Cross-layer equalization: channels are scaled so that one 8-bit step suits all of them.

An int8 feature map has one step for all its channels. Where one channel reaches 40 and another 0.5,
the second is left with three values; depthwise convolutions, which never mix channels, cannot make
up for it. Scaling channel c by a_c before and by 1 / a_c after changes nothing in float and gives
each channel the whole range (Nagel et al. 2019, arXiv:1906.04721, for ReLU). Here it also passes
through HardSwish and SiLU: y = x * gate(x) becomes y' = x' * gate(x' / a), the division one
depthwise 1x1 convolution, and through SE gates, which take the factor upon themselves.

How far to go is decided for each class of tensors by the noise it would cause: equal channels lower
the noise of activations, and raise that of the weights that absorb the factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto

from engine.build.int8.equalization.apply_scales import (
    Factors,
    grouped_weights,
    scale_channels,
    scaled_name,
    unscaled_name,
)
from engine.build.int8.equalization.channel_groups import ABSORBING, Links, links_of
from engine.build.int8.statistics.channel_statistics import ChannelStats
from engine.onnx.graph_view import GraphView, view_of

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
NEGATIVE_SHARES = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0)
"""Candidates for the negative part of a range, relative to its positive part."""
LARGEST_FACTOR = 1000.0
LARGEST_DEVIATIONS = 16.0
"""A value further from the mean of its channel is a stray one; no room is made for it."""
HARD_SWISH_ZERO = -3.0
"""HardSwish is 0 below: what lies there needs no room in the range."""

Stats = dict[str, ChannelStats]


@dataclass(frozen=True, slots=True)
class Equalized:
    """What was done: `strengths` by the first tensor of each class, `stats` as they are now."""

    strengths: dict[str, float]
    stats: Stats


def equalize(model: ModelProto, stats: Stats, kept: frozenset[str] = frozenset()) -> Equalized:
    """Scales channels in place, and says how far for each class of tensors.

    The model computes what it did, to rounding. `stats` are those of the tensors before; the
    convolutions that make the tensors in `kept` are to compute in float.
    """
    view = view_of(model)
    links = links_of(list(model.graph.node), view, kept)
    judge = _Judge(view, links, stats, kept)
    factors: Factors = {}
    strengths: dict[str, float] = {}
    for root, members in links.classes().items():
        chosen = judge.choose(root, members)
        if chosen is not None:
            strengths[members[0]], factor = chosen
            factors |= dict.fromkeys(members, factor)
    scale_channels(model, view, links, factors)
    now = dict(stats)
    for name in factors.keys() & stats.keys():
        stored = scaled_name(name) if name in links.freed else name
        now[stored] = stats[name].scaled(factors[name])
    for gate in links.self_gates:
        if gate.x in factors and gate.x in stats:
            now[unscaled_name(gate)] = stats[gate.x]
    for excitation in links.excitations:
        ratio = factors.get(excitation.y, np.ones(1)) / factors.get(excitation.x, np.ones(1))
        if excitation.gate in stats:
            now[scaled_name(excitation.gate)] = stats[excitation.gate].scaled(ratio)
    return Equalized(strengths, now)


class _Judge:
    """Estimates the noise that a choice of factors would cause, relative to the signal."""

    def __init__(self, view: GraphView, links: Links, stats: Stats, kept: frozenset[str]) -> None:
        self.view, self.links, self.stats, self.kept = view, links, stats, kept
        self.members = links.classes()
        self.hard = {g.x for g in links.self_gates if g.gate.op_type == "HardSigmoid"}
        self.gains: dict[str, np.ndarray] = {}

    def choose(self, root: str, members: list[str]) -> tuple[float, np.ndarray] | None:
        """(strength, factors) of least noise; None where the class has no statistics."""
        known = [m for m in members if m in self.stats and not self._is_hidden(m)]
        channels = {len(self.stats[m].low) for m in known}
        if len(channels) != 1:
            return None
        if not any((self._span(m, 1.0) > 0).any() for m in known):
            return None
        tried = []
        for share in NEGATIVE_SHARES:
            spans = np.max([self._span(m, share) for m in known], axis=0)
            spans = np.maximum(spans / spans.max(), 1 / LARGEST_FACTOR)
            tried += [(strength, spans**-strength) for strength in STRENGTHS]
        limits = [self._limits(member) for member in known]
        readers = [
            self._reader(node, tensor)
            for node, tensor in self._readers(root)
            if node.output[0] not in self.kept
        ]
        return min(tried, key=lambda one: self._noise(self._gain(root), limits, readers, one[1]))

    def _is_hidden(self, tensor: str) -> bool:
        """Does not count: a Relu that fuses follows, or it is a vector of the SE branch."""
        reader = self.view.only_reader(tensor)
        return self.view.is_vector(tensor) or (reader is not None and reader.op_type == "Relu")

    def _limits(self, tensor: str) -> tuple[np.ndarray, np.ndarray]:
        stats = self.stats[tensor]
        reach = LARGEST_DEVIATIONS * np.sqrt(stats.variance)
        low = np.minimum(np.maximum(stats.low, stats.mean - reach), 0)
        if tensor in self.hard:
            low = np.maximum(low, HARD_SWISH_ZERO)
        return low, np.maximum(np.minimum(stats.high, stats.mean + reach), 0)

    def _span(self, tensor: str, share: float) -> np.ndarray:
        """What each channel needs of a range whose negative part is `share` of its positive."""
        low, high = self._limits(tensor)
        need = np.maximum(high, -low / share)
        return np.asarray(need / max(float(need.max()), 1e-30))

    def _noise(
        self,
        gain: np.ndarray,
        limits: list[tuple[np.ndarray, np.ndarray]],
        readers: list[_Reader],
        factor: np.ndarray,
    ) -> float:
        steps = 0.0
        for low, high in limits:
            step = ((factor * high).max() - (factor * low).min()) / 255
            steps += step**2 / 12
        noise = steps * float((gain / factor**2).sum())
        return noise + sum(reader.noise(factor) for reader in readers)

    def _readers(self, root: str) -> list[tuple[NodeProto, str]]:
        """(convolution or Gemm, the tensor of this class that it reads)."""
        return [
            (node, tensor)
            for tensor in self.members.get(root, [])
            for node in self.view.readers.get(tensor, [])
            if node.op_type in ABSORBING and node.output[0] in self.stats
        ]

    def _gain(self, root: str) -> np.ndarray:
        """Of each channel: how much of its noise power reaches the outputs that read it."""
        if root not in self.gains:
            self.gains[root] = self._gain_of(root)
        return self.gains[root]

    def _gain_of(self, root: str) -> np.ndarray:
        channels = len(self.stats[self.members[root][0]].low)
        gain = np.zeros(channels)
        for node, _ in self._readers(root):
            weights = grouped_weights(node, self.view)
            gain += (weights**2).sum(axis=(1, 3)).reshape(-1) / self._signal(node)
        for e in self.links.excitations:
            after = self.links.find(e.y)
            if self.links.find(e.x) == root and after in self.members and e.gate in self.stats:
                gain += self._gain(after) * self.stats[e.gate].square
        return gain

    def _signal(self, node: NodeProto) -> float:
        return max(float(self.stats[node.output[0]].variance.sum()), 1e-30)

    def _reader(self, node: NodeProto, tensor: str) -> _Reader:
        weights = grouped_weights(node, self.view)
        power = self.stats[tensor].variance * weights.shape[3]
        return _Reader(np.abs(weights).max(axis=3), power, self._signal(node))


@dataclass(frozen=True, slots=True)
class _Reader:
    """A convolution or Gemm that absorbs factors.

    `peaks` (groups, outputs a group, inputs a group) are its largest weights over the taps, `power`
    that of each input over the taps, `signal` that of all outputs.
    """

    peaks: np.ndarray
    power: np.ndarray
    signal: float

    def noise(self, factor: np.ndarray) -> float:
        """What rounding weights that took 1 / factor does to the outputs."""
        groups, _, inputs = self.peaks.shape
        steps = (self.peaks / factor.reshape(groups, 1, inputs)).max(axis=2) / 127
        power = (factor**2 * self.power).reshape(groups, inputs).sum(axis=1)
        return float((steps**2 / 12 * power[:, None]).sum()) / self.signal
