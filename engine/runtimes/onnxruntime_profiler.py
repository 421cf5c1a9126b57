"""Runs a model under the profiler of ONNX Runtime: the time of every node of the executed graph.

The executed graph is not the stored one: the session fuses operators and inserts conversions. So
the session saves its optimized graph, and times are matched to its nodes by name.
"""

from __future__ import annotations

import json
import tempfile
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, NodeProto

from engine.errors import BenchmarkFailed
from engine.runtimes.base import LayerTime, Trace
from engine.runtimes.onnxruntime_options import options_of, session_over
from engine.runtimes.timing import WARM_UP_RUNS, faster_half, median_latency_ms, runs_within

MOST_EVENTS = 400_000  # the profiler keeps no more than a million


@dataclass(frozen=True, slots=True)
class Profiled:
    """The graph that ran, the profiler's events (times in us), and the latency without it (ms).

    The first WARM_UP_RUNS runs are among the events.
    """

    graph: GraphProto
    events: list[dict[str, Any]]
    latency_ms: float


def record_trace(
    path: Path, provider: str, threads: int, inputs: np.ndarray, seconds: float
) -> Trace:
    """Profiles runs of `inputs` for about `seconds`."""
    with tempfile.TemporaryDirectory() as folder:
        profile = run_profiled(path, provider, threads, inputs, Path(folder), seconds)
    return parse_trace(list(profile.graph.node), profile.events, profile.latency_ms)


def run_profiled(
    path: Path, provider: str, threads: int, inputs: np.ndarray, folder: Path, seconds: float
) -> Profiled:
    """Profiles about `seconds` of runs of `inputs`; `folder` takes the profiler's files."""
    latency_ms, name = _bare_latency(path, provider, threads, inputs, seconds / 2)
    options = options_of(threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.optimized_model_filepath = str(folder / "ran.onnx")
    session = session_over(path, options, provider)
    graph = onnx.load(folder / "ran.onnx", load_external_data=False).graph
    runs = runs_within(seconds / 2, latency_ms, MOST_EVENTS // max(1, len(graph.node)))
    for _ in range(WARM_UP_RUNS + runs):
        session.run(None, {name: inputs})
    events = json.loads(Path(session.end_profiling()).read_text())
    return Profiled(graph, events, latency_ms)


def _bare_latency(
    path: Path, provider: str, threads: int, inputs: np.ndarray, seconds: float
) -> tuple[float, str]:
    """Median latency in ms of a session without the profiler, and the name of its input."""
    session = session_over(path, options_of(threads), provider)
    name = session.get_inputs()[0].name
    return median_latency_ms(lambda: session.run(None, {name: inputs}), seconds), name


def parse_trace(nodes: list[NodeProto], events: list[dict[str, Any]], latency_ms: float) -> Trace:
    """Node times from the profiler's events (in us), without the first WARM_UP_RUNS runs.

    Only the faster half of the runs counts, because interference can only make a run slower. Raises
    BenchmarkFailed where the events do not match the nodes.
    """
    recorded = [item for item in events if item["name"] == "model_run"][WARM_UP_RUNS:]
    walls = faster_half(recorded, lambda wall: wall["dur"])
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
    times.sort(key=lambda item: first_seen.get(item.name, 0))
    wall_ms = sum(event["dur"] for event in walls) / len(walls) / 1e3
    return Trace(tuple(times), len(walls), wall_ms, latency_ms)


_KERNEL_SUFFIX = "_kernel_time"


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


def _node_time(node: NodeProto, events: list[dict[str, Any]], runs: int) -> LayerTime:
    about = events[0]["args"] if events else {}
    shapes = tuple(
        tuple(int(size) for size in shape)
        for output in about.get("output_type_shape", [])
        for shape in output.values()
    )
    spent = sum(event["dur"] for event in events)
    provider = str(about.get("provider", ""))
    return LayerTime(node.name, node.op_type, spent / runs / 1e3, shapes, provider, node)
