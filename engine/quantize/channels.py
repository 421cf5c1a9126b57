"""Statistics of every channel over the calibration images, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from engine import onnx_graph
from engine.errors import BuildFailed
from engine.quantize.probes import Columns, Probes, probe
from engine.quantize.sessions import session_of

Progress = Callable[[int], None]
IMAGES_AT_ONCE = 4
"""As fast as any larger number, and the least memory."""


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

    Extremes and means are exact; of large maps the spread is that of a lattice of places. What a
    Relu gives has the low 0. Raises BuildFailed naming the layer when a value is not finite, and
    when there is no image.
    """
    probes = probe(model, names)
    session = session_of(probes.model, threads)
    tally = _Tally(probes)
    for batch in batches:
        for start in range(0, len(batch), IMAGES_AT_ONCE):
            images = batch[start : start + IMAGES_AT_ONCE]
            tally.add(session.run(None, {onnx_graph.INPUT: images}))
        progress(tally.seen)
    if tally.seen == 0:
        raise BuildFailed("Calibration needs at least one image, the set gave none.")
    return tally.stats()


class _Tally:
    """Extremes and sums of all channels of all tensors, one after the other."""

    def __init__(self, probes: Probes) -> None:
        self.probes, self.seen = probes, 0
        self.widths: list[int] = []
        self.total: Columns | None = None

    def add(self, values: list[np.ndarray]) -> None:
        """Takes in what the session gave for some images."""
        found, self.widths = self.probes.read(values)
        self._require_finite(found)
        new = Columns(
            found.low.min(axis=0),
            found.high.max(axis=0),
            found.mean.sum(axis=0),
            found.square.sum(axis=0),
        )
        self.seen += len(found.mean)
        if (old := self.total) is not None:
            new = Columns(
                np.minimum(old.low, new.low),
                np.maximum(old.high, new.high),
                old.mean + new.mean,
                old.square + new.square,
            )
        self.total = new

    def stats(self) -> dict[str, ChannelStats]:
        """Of each tensor, over all that was added."""
        assert self.total is not None
        whole = self.total
        ends = np.cumsum(self.widths)[:-1]
        rows = (whole.low, whole.high, whole.mean / self.seen, whole.square / self.seen)
        parts = zip(*(np.split(row, ends) for row in rows), strict=True)
        return {
            name: ChannelStats(*part) for name, part in zip(self.probes.names, parts, strict=True)
        }

    def _require_finite(self, found: Columns) -> None:
        # What is not finite reaches the mean, whatever a maximum makes of it.
        all_four = np.stack([found.low, found.high, found.mean, found.square])
        bad = ~np.isfinite(all_four).all(axis=(0, 1))
        if bad.any():
            number = int(np.searchsorted(np.cumsum(self.widths), np.argmax(bad), side="right"))
            raise BuildFailed(
                f"{self.probes.place_of(self.probes.names[number])} takes values that are not "
                f"finite on the calibration images; the model cannot be quantised."
            )
