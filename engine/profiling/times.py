"""The data of a profiler trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node of the executed graph: mean ms per run, shapes of its outputs, its provider."""

    node: NodeProto
    ms: float
    shapes: tuple[tuple[int, ...], ...]
    provider: str


@dataclass(frozen=True, slots=True)
class Trace:
    """All nodes in execution order; means over `runs` runs, the faster half of all.

    `wall_ms`: mean duration of these runs; `latency_ms`: median latency without the profiler.
    """

    nodes: tuple[NodeTime, ...]
    runs: int
    wall_ms: float
    latency_ms: float
