"""Runs a model under ONNX Runtime's profiler: the time of every node of the graph that ran.

The graph that runs is not the stored one: the session fuses operators and inserts others for its
own formats. So the session writes out its graph, and times are matched to its nodes by name.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto

from engine.errors import BenchmarkFailed
from engine.profiling.times import NodeTime, Trace
from engine.runtimes.onnxruntime_profiler import WARM_UP_RUNS, run_profiled


def take_trace(
    path: Path, provider: str, threads: int, inputs: np.ndarray, folder: Path, seconds: float
) -> Trace:
    """Profiles about `seconds` of runs of `inputs`; `folder` takes the profiler's files."""
    found = run_profiled(path, provider, threads, inputs, folder, seconds)
    return trace_of(list(found.graph.node), found.events, found.latency_ms)


def trace_of(nodes: list[NodeProto], events: list[dict[str, Any]], latency_ms: float) -> Trace:
    """Reads the profiler's events (times in us); the first WARM_UP_RUNS runs are left out.

    Of the others the faster half counts: whatever disturbs a run only makes it slower. Raises
    BenchmarkFailed where events and nodes do not belong together.
    """
    walls = _faster_half([one for one in events if one["name"] == "model_run"][WARM_UP_RUNS:])
    if not walls:
        raise BenchmarkFailed("ONNX Runtime's profiler recorded no run; nothing can be said.")
    starts = [wall["ts"] for wall in walls]
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        name = event["name"]
        if event.get("cat") == "Node" and name.endswith(_KERNEL):
            run = bisect_right(starts, event["ts"]) - 1
            if run >= 0 and event["ts"] < starts[run] + walls[run]["dur"]:
                by_name[name.removesuffix(_KERNEL)].append(event)
    first_seen = {name: found[0]["ts"] for name, found in by_name.items()}
    _name(nodes, {name: found[0]["args"].get("op_name", "") for name, found in by_name.items()})
    strangers = set(by_name) - {node.name for node in nodes}
    if strangers:
        raise BenchmarkFailed(
            f"The profiler timed {len(strangers)} nodes that are not in the graph that ran (the "
            f"first: {min(strangers)}); this ONNX Runtime cannot be profiled."
        )
    times = [_node_time(node, by_name.get(node.name, []), len(walls)) for node in nodes]
    times.sort(key=lambda one: first_seen.get(one.node.name, 0))
    wall_ms = sum(event["dur"] for event in walls) / len(walls) / 1e3
    return Trace(tuple(times), len(walls), wall_ms, latency_ms)


_KERNEL = "_kernel_time"


def _faster_half(walls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The faster half of the runs, in the order in which they ran."""
    fastest = sorted(walls, key=lambda wall: wall["dur"])[: max(1, -(-len(walls) // 2))]
    return sorted(fastest, key=lambda wall: wall["ts"])


def _name(nodes: list[NodeProto], operators: dict[str, str]) -> None:
    """Gives nodes without a name that of the profiler, `operators` by name in the order they ran.

    The profiler calls them by operator and number; those of one operator run in their order.
    """
    taken = {node.name for node in nodes}
    free: dict[str, list[str]] = defaultdict(list)
    for name, operator in operators.items():
        if name not in taken:
            free[operator].append(name)
    for node in nodes:
        if not node.name and free[node.op_type]:
            node.name = free[node.op_type].pop(0)


def _node_time(node: NodeProto, events: list[dict[str, Any]], runs: int) -> NodeTime:
    about = events[0]["args"] if events else {}
    shapes = tuple(
        tuple(int(size) for size in shape)
        for output in about.get("output_type_shape", [])
        for shape in output.values()
    )
    spent = sum(event["dur"] for event in events)
    return NodeTime(node, spent / runs / 1e3, shapes, str(about.get("provider", "")))
