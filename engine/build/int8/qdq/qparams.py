"""Quantization parameters of a tensor: the scale, and the zero point (the stored value of 0)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from engine.build.int8.passes.hard_swish import GATE_LINE
from engine.build.int8.qdq.placement import PASS_THROUGH_OPS, QuantizerPlacement
from engine.build.int8.statistics.range_estimators import Ranges
from engine.build.int8.targets import Activations
from engine.onnx.graph_view import GraphView, clip_bounds

MIN_SCALE = 1e-9


@dataclass(frozen=True, slots=True)
class QParams:
    """value = (stored - zero_point) * scale; stored as uint8, or int8 if `signed`."""

    scale: float
    zero_point: int
    signed: bool = False

    @property
    def dtype(self) -> type[np.uint8] | type[np.int8]:
        """The data type of stored values."""
        return np.int8 if self.signed else np.uint8


def compute_qparams(
    low: float, high: float, activations: Activations = Activations.UNSIGNED
) -> QParams:
    """Parameters for the range `low` to `high`, widened to contain 0, which is exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    if activations == Activations.SYMMETRIC:
        return QParams(max(max(-low, high) / 127, MIN_SCALE), 0, signed=True)
    scale = max((high - low) / 255, MIN_SCALE)
    zero_point = int(np.clip(round(-low / scale), 0, 255))
    if activations == Activations.SIGNED:
        return QParams(scale, zero_point - 128, signed=True)
    return QParams(scale, zero_point)


def choose_qparams(
    placement: QuantizerPlacement, ranges: Ranges, activations: Activations = Activations.UNSIGNED
) -> dict[str, QParams]:
    """Quantization parameters of every tensor; pass-through operators keep those of their input."""
    view = placement.view
    qparams: dict[str, QParams] = {}
    for tensor in placement.quantized:
        producer = view.producers.get(tensor)
        if (
            producer is not None
            and producer.op_type in PASS_THROUGH_OPS
            and producer.input[0] in qparams
        ):
            qparams[tensor] = qparams[producer.input[0]]
            continue
        low, high = _clip_to_gate_range(producer, view, *ranges[tensor])
        qparams[tensor] = compute_qparams(
            max(low, _closed_gate_threshold(tensor, view)), high, activations
        )
    return qparams


def _clip_to_gate_range(
    producer: NodeProto | None, view: GraphView, low: float, high: float
) -> tuple[float, float]:
    """A gate, a Clip to (0, 1), has the range 0 to 1, so that quantization does the clipping."""
    if producer is not None and producer.op_type == "Clip":
        bounds = clip_bounds(producer, view.constants)
        if bounds == (0.0, 1.0):
            return bounds
    return low, high


def _closed_gate_threshold(tensor: str, view: GraphView) -> float:
    """The input below which the gate of every channel is 0; the range need not go below it."""
    for consumer in view.consumers.get(tensor, []):
        if consumer.output[0].endswith(GATE_LINE):
            slopes = view.constants[consumer.input[1]].reshape(-1)
            offsets = view.constants[consumer.input[2]].reshape(-1)
            return float((-offsets / slopes).min())
    return float("-inf")
