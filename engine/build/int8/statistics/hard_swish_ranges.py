"""Ranges of HardSwish inputs, chosen by the error of the HardSwish output.

HardSwish is 0 for inputs below -3 and nearly constant just above, so a range that covers such
inputs wastes precision. After equalization this threshold differs between channels, which a
histogram of the whole tensor does not show. Values are therefore sampled together with their
channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.onnx.graph_view import GraphView

MAX_SAMPLES = 25_000
RANGE_FRACTIONS = np.linspace(0.1, 1.0, 37)
STEPS_8_BIT = 255


@dataclass(slots=True)
class HardSwishSample:
    """Inputs x of a gate clip(slope x + offset, 0, 1); slope and offset differ per channel."""

    slopes: np.ndarray
    offsets: np.ndarray
    values: list[np.ndarray] = field(default_factory=list)
    channels: list[np.ndarray] = field(default_factory=list)

    def add(self, values: np.ndarray, channels: np.ndarray, max_values: int) -> None:
        """Adds at most `max_values` of `values` (images, positions); `channels` is (positions,)."""
        stride = max(values.size // max(max_values, 1), 1)
        picked = np.arange(0, values.size, stride | 1)
        self.values.append(values.reshape(-1)[picked])
        self.channels.append(channels[picked % values.shape[1]])

    def estimate_range(self, low: float, high: float) -> tuple[float, float]:
        """The range within (low, high) with the least mean squared error of x * gate(x)."""
        x = np.concatenate(self.values)
        channels = np.concatenate(self.channels)
        slopes, offsets = self.slopes[channels], self.offsets[channels]

        def swish(values: np.ndarray) -> np.ndarray:
            return np.asarray(values * np.clip(slopes * values + offsets, 0, 1))

        expected = swish(x)

        def error(low_: float, high_: float) -> float:
            scale = max((high_ - low_) / STEPS_8_BIT, 1e-12)
            rounded = (
                np.clip(np.round(x / scale), np.round(low_ / scale), np.round(high_ / scale))
                * scale
            )
            return float(((swish(rounded) - expected) ** 2).mean())

        low, high = min(low, 0.0), max(high, 0.0)
        best_low, best_high = low, high
        for _ in range(2):
            best_low = float(min(RANGE_FRACTIONS * low, key=lambda low_: error(low_, best_high)))
            best_high = float(min(RANGE_FRACTIONS * high, key=lambda high_: error(best_low, high_)))
        return best_low, best_high


def create_hard_swish_samples(names: list[str], view: GraphView) -> dict[str, HardSwishSample]:
    """An empty sample for each of the tensors `names` that is the input of a HardSwish gate."""
    samples = {}
    for name in names:
        for consumer in view.consumers.get(name, []):
            if consumer.output[0].endswith(GATE_LINE):
                slopes, offsets = (view.constants[constant] for constant in consumer.input[1:3])
                samples[name] = HardSwishSample(slopes.reshape(-1), offsets.reshape(-1))
    return samples
