"""Statistics of every channel over the calibration images, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from engine.build.int8.statistics.observers import Probes, probe
from engine.errors import BuildFailed
from engine.onnx import graph_io
from engine.runtimes.observing import session_of

Progress = Callable[[int], None]
IMAGES_AT_ONCE = 4
"""As fast as any larger number, and the least memory."""
SPREAD_IMAGES = 300
"""The squares of so many images are added up: they cost a tenth of an inference, and the spread of
a channel is known well by then."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Of one tensor, float64 arrays of one number a channel; `square` is the mean square."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Of each channel; never negative."""
        return np.maximum(self.square - self.mean**2, 0)

    def scaled(self, factor: np.ndarray) -> ChannelStats:
        """Of the tensor whose channels are multiplied by `factor` > 0."""
        return ChannelStats(
            self.low * factor, self.high * factor, self.mean * factor, self.square * factor**2
        )


def channel_stats(
    model: ModelProto,
    names: Iterable[str],
    batches: Iterable[np.ndarray],
    threads: int,
    progress: Progress,
) -> dict[str, ChannelStats]:
    """Statistics of the tensors in `names` (two dimensions or more, channels second).

    Extremes and means are of all images; the spread around the mean is of the first SPREAD_IMAGES,
    so many images have to come in a random order. What a Relu gives has the low 0. Raises
    BuildFailed naming the layer when a value is not finite, and when there is no image.
    """
    names = list(names)
    probes = probe(model, names)
    session = session_of(probes.model, threads)
    tally = _Tally(probes)
    for batch in batches:
        if probes.squares and tally.seen >= SPREAD_IMAGES:
            del session  # a session computes all its outputs; two would take the memory of two
            probes = probe(model, names, squares=False)
            session = session_of(probes.model, threads)
        for start in range(0, len(batch), IMAGES_AT_ONCE):
            images = {graph_io.INPUT: batch[start : start + IMAGES_AT_ONCE]}
            tally.add(probes, session.run(None, images))
        progress(tally.seen)
    if tally.seen == 0:
        raise BuildFailed("Calibration needs at least one image, the set gave none.")
    return tally.stats()


class _Tally:
    """Extremes and sums of all channels of all tensors, one after the other."""

    def __init__(self, probes: Probes) -> None:
        self.probes, self.seen, self.squared = probes, 0, 0
        self.widths: list[int] = []
        self.low, self.high = np.array(np.inf), np.array(-np.inf)
        self.sums = np.zeros(1)
        self.sums_squared = np.zeros((2, 1))

    def add(self, probes: Probes, values: list[np.ndarray]) -> None:
        """Takes in what a session gave for some images."""
        found, self.widths = probes.read(values)
        self.low = np.minimum(self.low, found.low.min(axis=0))
        self.high = np.maximum(self.high, found.high.max(axis=0))
        self.sums = self.sums + found.mean.sum(axis=0)
        self.seen += len(found.mean)
        self._require_finite()
        if found.square is not None:
            both = np.stack([found.mean.sum(axis=0), found.square.sum(axis=0)])
            self.sums_squared = self.sums_squared + both
            self.squared += len(found.mean)

    def stats(self) -> dict[str, ChannelStats]:
        """Of each tensor, over all that was added."""
        mean = self.sums / self.seen
        near, square = self.sums_squared / self.squared
        square = np.maximum(square - near**2, 0) + mean**2
        ends = np.cumsum(self.widths)[:-1]
        parts = zip(
            *(np.split(row, ends) for row in (self.low, self.high, mean, square)), strict=True
        )
        return {
            name: ChannelStats(*part) for name, part in zip(self.probes.names, parts, strict=True)
        }

    def _require_finite(self) -> None:
        # What is not finite reaches the mean, whatever a maximum makes of it.
        bad = ~(np.isfinite(self.low) & np.isfinite(self.high) & np.isfinite(self.sums))
        if bad.any():
            number = int(np.searchsorted(np.cumsum(self.widths), np.argmax(bad), side="right"))
            raise BuildFailed(
                f"{self.probes.place_of(self.probes.names[number])} takes values that are not "
                f"finite on the calibration images; the model cannot be quantized."
            )
