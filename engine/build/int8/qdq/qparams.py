"""The 8-bit grid of a tensor: a step, and the stored value that stands for 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from engine.build.int8.passes.hard_swish import LINE
from engine.build.int8.qdq.placement import PASSING, Placing
from engine.build.int8.statistics.range_estimators import Ranges
from engine.build.int8.targets import Activations
from engine.onnx.graph_view import GraphView, clip_bounds

SMALLEST_STEP = 1e-9


@dataclass(frozen=True, slots=True)
class Grid:
    """value = (stored - zero) * step; stored in 8 bits, unsigned or signed."""

    step: float
    zero: int
    signed: bool = False

    @property
    def dtype(self) -> type[np.uint8] | type[np.int8]:
        """What is stored."""
        return np.int8 if self.signed else np.uint8


def grid_of(low: float, high: float, activations: Activations = Activations.UNSIGNED) -> Grid:
    """The grid from `low` to `high`, widened to hold 0 exactly; symmetric ones are zero at 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    if activations == Activations.SYMMETRIC:
        return Grid(max(max(-low, high) / 127, SMALLEST_STEP), 0, signed=True)
    step = max((high - low) / 255, SMALLEST_STEP)
    zero = int(np.clip(round(-low / step), 0, 255))
    if activations == Activations.SIGNED:
        return Grid(step, zero - 128, signed=True)
    return Grid(step, zero)


def choose_grids(
    placing: Placing, ranges: Ranges, activations: Activations = Activations.UNSIGNED
) -> dict[str, Grid]:
    """The grid of every stored tensor."""
    view = placing.view
    grids: dict[str, Grid] = {}
    for tensor in placing.stored:
        maker = view.makers.get(tensor)
        if maker is not None and maker.op_type in PASSING and maker.input[0] in grids:
            grids[tensor] = grids[maker.input[0]]
            continue
        low, high = _bounded(maker, view, *ranges[tensor])
        grids[tensor] = grid_of(max(low, _floor(tensor, view)), high, activations)
    return grids


def _bounded(
    maker: NodeProto | None, view: GraphView, low: float, high: float
) -> tuple[float, float]:
    """A gate is stored from 0 to 1 whatever was seen: its saturation is the grid's."""
    if maker is not None and maker.op_type == "Clip":
        bounds = clip_bounds(maker, view.constants)
        if bounds == (0.0, 1.0):
            return bounds
    return low, high


def _floor(tensor: str, view: GraphView) -> float:
    """Below this the gate of every channel is closed, so that room for it would be wasted."""
    for reader in view.readers.get(tensor, []):
        if reader.output[0].endswith(LINE):
            slopes = view.constants[reader.input[1]].reshape(-1)
            offsets = view.constants[reader.input[2]].reshape(-1)
            return float((-offsets / slopes).min())
    return float("-inf")
