"""What the profiler said, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node of the graph that ran: mean ms a run, the shapes of its outputs, who ran it."""

    node: NodeProto
    ms: float
    shapes: tuple[tuple[int, ...], ...]
    provider: str


@dataclass(frozen=True, slots=True)
class Trace:
    """All nodes in the order they ran; means over `runs`, the faster half of all.

    `wall_ms` is of the runs that the nodes were timed in, `latency_ms` the median without profiler.
    """

    nodes: tuple[NodeTime, ...]
    runs: int
    wall_ms: float
    latency_ms: float
