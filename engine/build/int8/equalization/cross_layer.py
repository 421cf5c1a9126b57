"""Cross-layer equalization: scales channels so that one 8-bit scale fits all of them.

An int8 feature map has one scale for all its channels. Where one channel reaches 40 and another
0.5, the second has only three values, and depthwise convolutions, which do not mix channels, cannot
compensate. Multiplying channel c by a_c before a layer and by 1 / a_c after it changes nothing in
float and gives each channel the full range (Nagel et al. 2019, arXiv:1906.04721, for ReLU). Here
this is extended to HardSwish and SiLU, where y = x * gate(x) becomes y' = x' * gate(x' / a) with a
depthwise 1x1 convolution as the division, and to SE gates, which absorb the factor.

The strength is chosen per group of tensors by the estimated noise: equal channels reduce the noise
of activations and increase that of the weights that absorb the factors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto

from engine.build.int8.equalization.apply_scales import (
    Factors,
    apply_channel_scales,
    grouped_weights,
    scaled_name,
    unscaled_name,
)
from engine.build.int8.equalization.channel_groups import (
    ABSORBING_OPS,
    ChannelGroups,
    find_channel_groups,
)
from engine.build.int8.statistics.channel_statistics import ChannelStatistics
from engine.onnx.graph_view import GraphView, view_of

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
NEGATIVE_SHARES = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0)
"""Candidates for the negative part of a range, relative to its positive part."""
MAX_FACTOR = 1000.0
MAX_DEVIATIONS = 16.0
"""In standard deviations; values further from the mean of their channel are ignored as outliers."""
HARD_SWISH_ZERO = -3.0
"""HardSwish is 0 below this input, so a range need not contain lower values."""

Statistics = dict[str, ChannelStatistics]


@dataclass(frozen=True, slots=True)
class EqualizationResult:
    """`strengths` (0 to 1) by the first tensor of each group, `statistics` after scaling.

    `factors`: tensor of the scaled graph -> what its channels are multiplied by, (channels,).
    """

    strengths: dict[str, float]
    statistics: Statistics
    factors: Factors = field(default_factory=dict)


def equalize(
    model: ModelProto, statistics: Statistics, excluded_layers: frozenset[str] = frozenset()
) -> EqualizationResult:
    """Equalizes channels in place; the model computes the same, up to rounding.

    `statistics` are those before scaling; the layers that produce `excluded_layers` stay in float.
    """
    view = view_of(model)
    groups = find_channel_groups(list(model.graph.node), view, excluded_layers)
    noise_model = _NoiseModel(view, groups, statistics, excluded_layers)
    factors: Factors = {}
    strengths: dict[str, float] = {}
    for root, members in groups.scalable_groups().items():
        chosen = noise_model.choose(root, members)
        if chosen is not None:
            strengths[members[0]], factor = chosen
            factors |= dict.fromkeys(members, factor)
    apply_channel_scales(model, view, groups, factors)
    scaled_statistics = dict(statistics)
    by_tensor: Factors = {
        scaled_name(name) if name in groups.free_tensors else name: factor
        for name, factor in factors.items()
    }
    for name in factors.keys() & statistics.keys():
        stored = scaled_name(name) if name in groups.free_tensors else name
        scaled_statistics[stored] = statistics[name].scaled(factors[name])
    for gate in groups.self_gates:
        if gate.x in factors and gate.x in statistics:
            scaled_statistics[unscaled_name(gate)] = statistics[gate.x]
    for excitation in groups.excitations:
        ratio = factors.get(excitation.y, np.ones(1)) / factors.get(excitation.x, np.ones(1))
        by_tensor[scaled_name(excitation.gate)] = ratio
        if excitation.gate in statistics:
            scaled_statistics[scaled_name(excitation.gate)] = statistics[excitation.gate].scaled(
                ratio
            )
    return EqualizationResult(strengths, scaled_statistics, by_tensor)


class _NoiseModel:
    """Estimates the quantization noise of a choice of factors, relative to the signal."""

    def __init__(
        self,
        view: GraphView,
        groups: ChannelGroups,
        statistics: Statistics,
        excluded_layers: frozenset[str],
    ) -> None:
        self.view, self.groups, self.statistics, self.excluded_layers = (
            view,
            groups,
            statistics,
            excluded_layers,
        )
        self.members = groups.scalable_groups()
        self.hard_swish_inputs = {
            swish.x for swish in groups.self_gates if swish.gate.op_type == "HardSigmoid"
        }
        self.gains: dict[str, np.ndarray] = {}

    def choose(self, root: str, members: list[str]) -> tuple[float, np.ndarray] | None:
        """(strength, factors) with the least noise; None where the group cannot be equalized."""
        observed = [
            name
            for name in members
            if name in self.statistics and not self._is_never_quantized(name)
        ]
        channels = {len(self.statistics[name].low) for name in observed}
        if len(channels) != 1:
            return None
        if not any((self._required_range(name, 1.0) > 0).any() for name in observed):
            return None
        candidates: dict[bytes, tuple[float, np.ndarray]] = {}
        for negative_share in NEGATIVE_SHARES:
            required = np.max(
                [self._required_range(name, negative_share) for name in observed], axis=0
            )
            required = np.maximum(required / required.max(), 1 / MAX_FACTOR)
            for strength in STRENGTHS:  # without negative values, all shares give the same
                factor = required**-strength
                candidates.setdefault(factor.tobytes(), (strength, factor))
        channel_ranges = [self._channel_range(member) for member in observed]
        consumers = [
            self._consumer_noise_model(node, tensor)
            for node, tensor in self._weighted_consumers(root)
            if node.output[0] not in self.excluded_layers
        ]
        return min(
            candidates.values(),
            key=lambda candidate: self._noise(
                self._noise_gain(root), channel_ranges, consumers, candidate[1]
            ),
        )

    def _is_never_quantized(self, tensor: str) -> bool:
        """Whether a tensor does not count: a Relu is fused to it, or it is a vector (SE branch)."""
        consumer = self.view.only_consumer(tensor)
        return self.view.is_vector(tensor) or (consumer is not None and consumer.op_type == "Relu")

    def _channel_range(self, tensor: str) -> tuple[np.ndarray, np.ndarray]:
        statistics = self.statistics[tensor]
        max_distance = MAX_DEVIATIONS * np.sqrt(statistics.variance)
        low = np.minimum(np.maximum(statistics.low, statistics.mean - max_distance), 0)
        if tensor in self.hard_swish_inputs:
            low = np.maximum(low, HARD_SWISH_ZERO)
        return low, np.maximum(np.minimum(statistics.high, statistics.mean + max_distance), 0)

    def _required_range(self, tensor: str, negative_share: float) -> np.ndarray:
        """Range per channel (1 = largest), its negative part `negative_share` of the positive."""
        low, high = self._channel_range(tensor)
        required = np.maximum(high, -low / negative_share)
        return np.asarray(required / max(float(required.max()), 1e-30))

    def _noise(
        self,
        gain: np.ndarray,
        channel_ranges: list[tuple[np.ndarray, np.ndarray]],
        consumers: list[_Consumer],
        factor: np.ndarray,
    ) -> float:
        noise_per_gain = 0.0
        for low, high in channel_ranges:
            scale = ((factor * high).max() - (factor * low).min()) / 255
            noise_per_gain += scale**2 / 12
        noise = noise_per_gain * float((gain / factor**2).sum())
        return noise + sum(consumer.noise(factor) for consumer in consumers)

    def _weighted_consumers(self, root: str) -> list[tuple[NodeProto, str]]:
        """(convolution or Gemm, the tensor of this group that it reads)."""
        return [
            (node, tensor)
            for tensor in self.members.get(root, [])
            for node in self.view.consumers.get(tensor, [])
            if node.op_type in ABSORBING_OPS and node.output[0] in self.statistics
        ]

    def _noise_gain(self, root: str) -> np.ndarray:
        """Per channel: the factor from its noise power to that of the outputs that depend on it."""
        if root not in self.gains:
            self.gains[root] = self._compute_noise_gain(root)
        return self.gains[root]

    def _compute_noise_gain(self, root: str) -> np.ndarray:
        channels = len(self.statistics[self.members[root][0]].low)
        gain = np.zeros(channels)
        for node, _ in self._weighted_consumers(root):
            weights = grouped_weights(node, self.view)
            gain += (weights**2).sum(axis=(1, 3)).reshape(-1) / self._signal_power(node)
        for excitation in self.groups.excitations:
            next_root = self.groups.find(excitation.y)
            if (
                self.groups.find(excitation.x) == root
                and next_root in self.members
                and excitation.gate in self.statistics
            ):
                gain += self._noise_gain(next_root) * self.statistics[excitation.gate].square
        return gain

    def _signal_power(self, node: NodeProto) -> float:
        return max(float(self.statistics[node.output[0]].variance.sum()), 1e-30)

    def _consumer_noise_model(self, node: NodeProto, tensor: str) -> _Consumer:
        weights = grouped_weights(node, self.view)
        power = self.statistics[tensor].variance * weights.shape[3]
        return _Consumer(np.abs(weights).max(axis=3), power, self._signal_power(node))


@dataclass(frozen=True, slots=True)
class _Consumer:
    """A convolution or Gemm that absorbs factors.

    `peaks` (groups, outputs per group, inputs per group): largest absolute weight over the kernel
    positions. `power` (inputs,): signal power of each input, summed over the kernel positions.
    `signal`: power of all outputs.
    """

    peaks: np.ndarray
    power: np.ndarray
    signal: float

    def noise(self, factor: np.ndarray) -> float:
        """Relative output noise from rounding weights that were divided by `factor`."""
        groups, _, inputs = self.peaks.shape
        scales = (self.peaks / factor.reshape(groups, 1, inputs)).max(axis=2) / 127
        power = (factor**2 * self.power).reshape(groups, inputs).sum(axis=1)
        return float((scales**2 / 12 * power[:, None]).sum()) / self.signal
