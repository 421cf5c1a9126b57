"""Collects per-channel activation statistics over the calibration images, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto

from engine.build.int8.statistics.observers import Observers, add_observers
from engine.errors import BuildFailed
from engine.onnx import graph_io
from engine.runtimes.observing import session_of

Progress = Callable[[int], None]
IMAGES_AT_ONCE = 4
"""Larger numbers need more memory and are not faster."""
VARIANCE_IMAGES = 300
"""The variance is taken from the first images only: squares cost a tenth of an inference, and this
many images are enough."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Min, max, mean and mean square (`square`) of one tensor: float64 arrays (channels,)."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Variance of each channel; never negative."""
        return np.maximum(self.square - self.mean**2, 0)

    def scaled(self, factor: np.ndarray) -> ChannelStatistics:
        """Statistics of the tensor after its channels are multiplied by `factor` > 0."""
        return ChannelStatistics(
            self.low * factor, self.high * factor, self.mean * factor, self.square * factor**2
        )


@dataclass(slots=True)
class SampleScores:
    """The float scores of the first `count` images, (count, classes), kept from a pass over them.

    A pass over more than VARIANCE_IMAGES gives those of the first VARIANCE_IMAGES at most.
    """

    count: int
    _parts: list[np.ndarray] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Number of images whose scores are not known yet."""
        return self.count - sum(map(len, self._parts))

    def add(self, scores: np.ndarray) -> None:
        """Keeps the scores of the next images, as long as some are missing."""
        if self.missing > 0:
            # A copy: the array itself would hold all the memory of its session.
            self._parts.append(scores[: self.missing].copy())

    def all(self) -> np.ndarray | None:
        """The scores of all `count` images; None where some are missing."""
        return np.concatenate(self._parts) if self._parts and not self.missing else None


def collect_channel_statistics(
    model: ModelProto,
    names: Iterable[str],
    batches: Iterable[np.ndarray],
    threads: int,
    progress: Progress,
    scores: SampleScores | None = None,
) -> dict[str, ChannelStatistics]:
    """Statistics of the tensors in `names`, which have the shape (n, channels, ...).

    Min, max and mean are of all images, the variance of the first VARIANCE_IMAGES, so the images
    must be in random order. The output of a Relu has the minimum 0. `progress` takes the number of
    images done, `scores` the scores of the first images. Raises BuildFailed, which names the layer,
    where a value is not finite, and where there is no image.
    """
    names = list(names)
    wants_scores = scores is not None and scores.missing > 0
    observers = add_observers(model, names, scores=wants_scores)
    session = session_of(observers.model, threads, spinning=False)
    accumulator = _Accumulator(observers)
    for batch in batches:
        if observers.squares and accumulator.image_count >= VARIANCE_IMAGES:
            del session  # frees its memory before the next session is created
            observers = add_observers(model, names, squares=False)
            session = session_of(observers.model, threads, spinning=False)
        for start in range(0, len(batch), IMAGES_AT_ONCE):
            images = {graph_io.INPUT: batch[start : start + IMAGES_AT_ONCE]}
            values = session.run(None, images)
            if scores is not None and observers.scores is not None:
                scores.add(values[0])
            accumulator.add(observers, values)
        progress(accumulator.image_count)
    if accumulator.image_count == 0:
        raise BuildFailed("Calibration needs at least one image, but the dataset gave none.")
    return accumulator.statistics()


class _Accumulator:
    """Running min, max and sums of all channels, the tensors one after the other."""

    def __init__(self, observers: Observers) -> None:
        self.observers, self.image_count, self.variance_count = observers, 0, 0
        self.widths: list[int] = []
        self.low, self.high = np.array(np.inf), np.array(-np.inf)
        self.sums = np.zeros(1)
        self.sums_squared = np.zeros((2, 1))

    def add(self, observers: Observers, values: list[np.ndarray]) -> None:
        """Adds the outputs of a session for some images."""
        statistics, self.widths = observers.read_outputs(values)
        self.low = np.minimum(self.low, statistics.low.min(axis=0))
        self.high = np.maximum(self.high, statistics.high.max(axis=0))
        self.sums = self.sums + statistics.mean.sum(axis=0)
        self.image_count += len(statistics.mean)
        self._require_finite()
        if statistics.square is not None:
            both = np.stack([statistics.mean.sum(axis=0), statistics.square.sum(axis=0)])
            self.sums_squared = self.sums_squared + both
            self.variance_count += len(statistics.mean)

    def statistics(self) -> dict[str, ChannelStatistics]:
        """Statistics of each tensor over all images added."""
        mean = self.sums / self.image_count
        partial_mean, square = self.sums_squared / self.variance_count
        square = np.maximum(square - partial_mean**2, 0) + mean**2
        ends = np.cumsum(self.widths)[:-1]
        parts = zip(
            *(np.split(row, ends) for row in (self.low, self.high, mean, square)), strict=True
        )
        return {
            name: ChannelStatistics(*part)
            for name, part in zip(self.observers.names, parts, strict=True)
        }

    def _require_finite(self) -> None:
        # A NaN may be lost in a maximum or minimum, but never in the mean.
        not_finite = ~(np.isfinite(self.low) & np.isfinite(self.high) & np.isfinite(self.sums))
        if not_finite.any():
            number = int(
                np.searchsorted(np.cumsum(self.widths), np.argmax(not_finite), side="right")
            )
            raise BuildFailed(
                f"{self.observers.describe_tensor(self.observers.names[number])} has values that "
                f"are not finite on the calibration images; the model cannot be quantized."
            )
