"""Runs a model under the profiler of ONNX Runtime: the time of every node of the executed graph.

The executed graph is not the stored one: the session fuses operators and inserts conversions. So
the session saves its optimized graph, and times are matched to its nodes by name.
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


def record_trace(
    path: Path, provider: str, threads: int, inputs: np.ndarray, folder: Path, seconds: float
) -> Trace:
    """Profiles runs of `inputs` for about `seconds`; the profiler writes its files to `folder`."""
    profile = run_profiled(path, provider, threads, inputs, folder, seconds)
    return parse_trace(list(profile.graph.node), profile.events, profile.latency_ms)


def parse_trace(nodes: list[NodeProto], events: list[dict[str, Any]], latency_ms: float) -> Trace:
    """Node times from the profiler's events (in us), without the first WARM_UP_RUNS runs.

    Only the faster half of the runs counts, because interference can only make a run slower. Raises
    BenchmarkFailed where the events do not match the nodes.
    """
    walls = _faster_half([item for item in events if item["name"] == "model_run"][WARM_UP_RUNS:])
    if not walls:
        raise BenchmarkFailed("ONNX Runtime's profiler recorded no run: profile the build again.")
    starts = [wall["ts"] for wall in walls]
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        name = event["name"]
        if event.get("cat") == "Node" and name.endswith(_KERNEL_SUFFIX):
            run = bisect_right(starts, event["ts"]) - 1
            if run >= 0 and event["ts"] < starts[run] + walls[run]["dur"]:
                by_name[name.removesuffix(_KERNEL_SUFFIX)].append(event)
    first_seen = {name: events_of_node[0]["ts"] for name, events_of_node in by_name.items()}
    _name_nodes(
        nodes,
        {
            name: events_of_node[0]["args"].get("op_name", "")
            for name, events_of_node in by_name.items()
        },
    )
    unmatched = set(by_name) - {node.name for node in nodes}
    if unmatched:
        raise BenchmarkFailed(
            f"The profiler timed {len(unmatched)} nodes that are not in the executed graph (the "
            f"first: {min(unmatched)}): this version of ONNX Runtime is not supported."
        )
    times = [_node_time(node, by_name.get(node.name, []), len(walls)) for node in nodes]
    times.sort(key=lambda item: first_seen.get(item.node.name, 0))
    wall_ms = sum(event["dur"] for event in walls) / len(walls) / 1e3
    return Trace(tuple(times), len(walls), wall_ms, latency_ms)


_KERNEL_SUFFIX = "_kernel_time"


def _faster_half(walls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The faster half of the runs, in execution order."""
    fastest = sorted(walls, key=lambda wall: wall["dur"])[: max(1, -(-len(walls) // 2))]
    return sorted(fastest, key=lambda wall: wall["ts"])


def _name_nodes(nodes: list[NodeProto], operators: dict[str, str]) -> None:
    """Gives unnamed nodes the names of the profiler; `operators`: operator by name, in run order.

    The profiler names them by operator and number; nodes of one operator run in graph order.
    """
    used = {node.name for node in nodes}
    free: dict[str, list[str]] = defaultdict(list)
    for name, operator in operators.items():
        if name not in used:
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
