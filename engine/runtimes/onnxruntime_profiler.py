"""Runs a model under ONNX Runtime's own profiler."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import GraphProto

from engine.runtimes.onnxruntime import options_of, session_over

WARM_UP_RUNS = 3
MOST_EVENTS = 400_000  # the profiler keeps no more than a million
FEWEST_RUNS, MOST_RUNS = 5, 200


@dataclass(frozen=True, slots=True)
class Profiled:
    """The graph that ran, the profiler's events (times in us), and the latency without it (ms).

    The first WARM_UP_RUNS runs are among the events.
    """

    graph: GraphProto
    events: list[dict[str, Any]]
    latency_ms: float


def run_profiled(
    path: Path, provider: str, threads: int, inputs: np.ndarray, folder: Path, seconds: float
) -> Profiled:
    """Profiles about `seconds` of runs of `inputs`; `folder` takes the profiler's files."""
    bare = session_over(path, options_of(threads), provider)
    latency_ms = _latency_ms(bare, inputs, seconds / 2)
    del bare
    options = options_of(threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.optimized_model_filepath = str(folder / "ran.onnx")
    session = session_over(path, options, provider)
    graph = onnx.load(folder / "ran.onnx", load_external_data=False).graph
    runs_in_time = int(1e3 * seconds / 2 / max(latency_ms, 1e-3))
    runs = max(FEWEST_RUNS, min(runs_in_time, MOST_RUNS, MOST_EVENTS // max(1, len(graph.node))))
    name = session.get_inputs()[0].name
    for _ in range(WARM_UP_RUNS + runs):
        session.run(None, {name: inputs})
    events = json.loads(Path(session.end_profiling()).read_text())
    return Profiled(graph, events, latency_ms)


def _latency_ms(session: ort.InferenceSession, inputs: np.ndarray, seconds: float) -> float:
    """Median wall time of a run, after warm-up."""
    name = session.get_inputs()[0].name
    for _ in range(WARM_UP_RUNS):
        session.run(None, {name: inputs})
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while len(taken) < FEWEST_RUNS or time.perf_counter() < until:
        begun = time.perf_counter()
        session.run(None, {name: inputs})
        taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken)
