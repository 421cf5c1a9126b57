"""Statistics of every channel over the calibration images, in constant memory.

The graph itself reduces each tensor to a few numbers a channel; a batch leaves nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engine import onnx_graph
from engine.errors import BuildFailed
from engine.quantize.sessions import session_of

Progress = Callable[[int], None]
_REDUCTIONS = ("ReduceMin", "ReduceMax", "ReduceMean", "ReduceSumSquare")


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
    ranks: dict[str, int],
    batches: Iterable[np.ndarray],
    threads: int,
    progress: Progress,
) -> dict[str, ChannelStats]:
    """Statistics of the tensors in `ranks` (name -> number of dimensions, channels second).

    Raises BuildFailed naming the tensor when a value is not finite, and when there is no image.
    """
    session = session_of(_with_reductions(model, ranks), threads)
    names = list(ranks)
    totals: list[np.ndarray] = []
    seen = 0
    for batch in batches:
        values = session.run(None, {onnx_graph.INPUT: batch})
        columns = [np.asarray(v, np.float64) for v in values]
        _require_finite(names, columns)
        totals = _merge(totals, columns, seen, len(batch), len(names))
        seen += len(batch)
        progress(seen)
    if seen == 0:
        raise BuildFailed("Calibration needs at least one image, the set gave none.")
    count = len(names)
    return {
        name: ChannelStats(*(totals[kind * count + i] for kind in range(len(_REDUCTIONS))))
        for i, name in enumerate(names)
    }


def _merge(
    totals: list[np.ndarray], columns: list[np.ndarray], seen: int, new: int, count: int
) -> list[np.ndarray]:
    """Extremes merge as extremes; means by the images they stand for."""
    lows, highs, means, sums = (columns[i * count : (i + 1) * count] for i in range(4))
    if not totals:
        return [*lows, *highs, *means, *sums]
    share = new / (seen + new)
    mixed = zip(totals[2 * count :], (*means, *sums), strict=True)
    return [
        *(np.minimum(a, b) for a, b in zip(totals, lows, strict=False)),
        *(np.maximum(a, b) for a, b in zip(totals[count:], highs, strict=False)),
        *(old + (now - old) * share for old, now in mixed),
    ]


def _with_reductions(model: ModelProto, ranks: dict[str, int]) -> ModelProto:
    augmented = ModelProto()
    augmented.CopyFrom(model)
    graph = augmented.graph
    del graph.output[:]
    for rank in sorted(set(ranks.values())):
        axes = np.array([0, *range(2, rank)], np.int64)
        graph.initializer.append(numpy_helper.from_array(axes, f"all but channels of {rank}"))
    for op in _REDUCTIONS:
        for name, rank in ranks.items():
            graph.node.extend(_reduction(op, name, f"all but channels of {rank}"))
            value = helper.make_tensor_value_info(f"{op}/{name}", TensorProto.FLOAT, None)
            graph.output.append(value)
    return augmented


def _reduction(op: str, name: str, axes: str) -> list[object]:
    output = f"{op}/{name}"
    if op != "ReduceSumSquare":
        return [helper.make_node(op, [name, axes], [output], keepdims=0)]
    square = f"square/{name}"
    return [
        helper.make_node("Mul", [name, name], [square]),
        helper.make_node("ReduceMean", [square, axes], [output], keepdims=0),
    ]


def _require_finite(names: list[str], columns: list[np.ndarray]) -> None:
    for position, name in enumerate(names):
        if not all(np.isfinite(column).all() for column in columns[position :: len(names)]):
            raise BuildFailed(
                f"Tensor {name!r} takes values that are not finite on the "
                f"calibration images; the model cannot be quantised."
            )
