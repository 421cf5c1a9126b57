"""Ranges of what a HardSwish reads, judged by what comes out of it.

Below -3 the output is 0 whatever the input, and just above it hardly moves; so room for such values
is wasted. After equalization that point lies elsewhere in each channel, which a histogram of the
whole tensor cannot see. Values are therefore sampled with their channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.build.int8.passes.hard_swish import LINE
from engine.onnx.graph_view import GraphView

SAMPLE = 100_000
SHARES = np.linspace(0.1, 1.0, 37)
LEVELS = 255


@dataclass(slots=True)
class GateSample:
    """Values that a gate clip(slope x + offset, 0, 1) reads, with the line of their channel."""

    slopes: np.ndarray
    offsets: np.ndarray
    values: list[np.ndarray] = field(default_factory=list)
    channels: list[np.ndarray] = field(default_factory=list)

    def add(self, values: np.ndarray, channels: np.ndarray, most: int) -> None:
        """Takes at most `most` of the values of some images (images, positions)."""
        every = max(values.size // max(most, 1), 1)
        kept = np.arange(0, values.size, every | 1)
        self.values.append(values.reshape(-1)[kept])
        self.channels.append(channels[kept % values.shape[1]])

    def best_range(self, low: float, high: float) -> tuple[float, float]:
        """The range within (low, high) whose grid disturbs x * gate(x) least, in mean square."""
        x = np.concatenate(self.values)
        channels = np.concatenate(self.channels)
        slopes, offsets = self.slopes[channels], self.offsets[channels]

        def swish(values: np.ndarray) -> np.ndarray:
            return np.asarray(values * np.clip(slopes * values + offsets, 0, 1))

        wanted = swish(x)

        def error(a: float, b: float) -> float:
            step = max((b - a) / LEVELS, 1e-12)
            stored = np.clip(np.round(x / step), np.round(a / step), np.round(b / step)) * step
            return float(((swish(stored) - wanted) ** 2).mean())

        low, high = min(low, 0.0), max(high, 0.0)
        best_low, best_high = low, high
        for _ in range(2):
            best_low = float(min(SHARES * low, key=lambda a: error(a, best_high)))
            best_high = float(min(SHARES * high, key=lambda b: error(best_low, b)))
        return best_low, best_high


def gate_samples(names: list[str], view: GraphView) -> dict[str, GateSample]:
    """An empty sample for each of these tensors that a HardSwish gate reads."""
    found = {}
    for name in names:
        for reader in view.readers.get(name, []):
            if reader.output[0].endswith(LINE):
                slopes, offsets = (view.constants[constant] for constant in reader.input[1:3])
                found[name] = GateSample(slopes.reshape(-1), offsets.reshape(-1))
    return found
