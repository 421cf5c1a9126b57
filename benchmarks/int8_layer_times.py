"""Which layers of int8 builds take the time, in ONNX Runtime and in OpenVINO.

    python -m benchmarks.int8_layer_times MODEL.onnx [MODEL.onnx ...] [--runs 100]

The files, in QDQ format, run one image at a time on one thread, with and without the profilers of
both runtimes. A figure is the share of a kind of layer in the profiler's mean times, times the CPU
time of an image: other programs lengthen all kinds alike, and CPU time does not count them. The
output is a table in Markdown: ms by kind of layer, a column for each file and runtime.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto

from engine.onnx.graph_view import attributes_of, group_count, view_of
from engine.runtimes.onnxruntime import OnnxSession
from engine.runtimes.onnxruntime_profiler import run_profiled

CPU, PROFILE_S = "CPUExecutionProvider", 20.0
GROUPED, POINTWISE, OTHER = "grouped convolutions", "1x1 convolutions", "other convolutions"
SE, ADD, CONVERT, REST = "SE blocks", "additions", "conversions, transposes", "pooling, classifier"
KINDS = (GROUPED, POINTWISE, OTHER, SE, ADD, CONVERT, REST)
OPERATORS = {
    **dict.fromkeys(("QLinearMul", "QLinearSigmoid", "QLinearGlobalAveragePool"), SE),
    **dict.fromkeys(("PowerStatic", "Subtract", "Multiply", "Sigmoid", "ReduceMean"), SE),
    **dict.fromkeys(("QLinearAdd", "Add", "Eltwise"), ADD),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "Transpose", "Pad"), CONVERT),
    **dict.fromkeys(("Reorder", "Convert", "FakeQuantize"), CONVERT),
}
"""Operators other than convolutions, of both runtimes; those left out are REST."""


def main() -> None:
    """Profiles every file in both runtimes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args()
    columns = {}
    for path in options.models:
        columns[f"ONNX Runtime, {path.stem}"] = onnxruntime_times(path, options.runs)
        columns[f"OpenVINO, {path.stem}"] = openvino_times(path, options.runs)
    print(f"| ms | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    for kind in KINDS:
        print(f"| {kind} | {' | '.join(_cell(times, kind) for times in columns.values())} |")
    totals = (f"{sum(times.values()):.2f}" for times in columns.values())
    print(f"| all | {' | '.join(totals)} |")


def _cell(times: dict[str, float], kind: str) -> str:
    return f"{times[kind]:.2f} ({times[kind] / sum(times.values()):.0%})"


def onnxruntime_times(path: Path, runs: int) -> dict[str, float]:
    """ms by kind, of the nodes of the graph that ONNX Runtime made of a file."""
    image = _image(path)
    with tempfile.TemporaryDirectory() as folder:
        profile = run_profiled(path, CPU, 1, image, Path(folder), PROFILE_S)
    nodes = {node.name: node for node in profile.graph.node}
    times = dict.fromkeys(KINDS, 0.0)
    for event in profile.events:
        node = nodes.get(event["name"].removesuffix("_kernel_time"))
        if node is None or event["name"] == node.name:
            continue
        shapes = event["args"].get("output_type_shape") or [{"": [0]}]
        shape = list(next(iter(shapes[0].values())))
        is_vector = len(shape) == 4 and shape[1:3] == [1, 1]  # channels are last
        is_convolution = node.op_type in ("QLinearConv", "Conv")
        kind = _convolution(node, is_vector) if is_convolution else _other(node.op_type)
        times[kind] += event["dur"]
    session = OnnxSession(path, CPU, 1)
    return _scaled(times, _cpu_ms(lambda: session.run(image), runs))


def openvino_times(path: Path, runs: int) -> dict[str, float]:
    """ms by kind, of the nodes that OpenVINO ran; a fused node counts for its first layer."""
    import openvino

    image = _image(path)
    hints = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    plain = openvino.Core().compile_model(str(path), "CPU", hints).create_infer_request()
    profiled = hints | {"PERF_COUNT": True}
    request = openvino.Core().compile_model(str(path), "CPU", profiled).create_infer_request()
    for _ in range(runs):
        request.infer([image])
    model = onnx.load(path)
    view = view_of(model)
    convolutions = {
        node.name: _convolution(node, view.is_vector(node.output[0]))
        for node in model.graph.node
        if node.op_type == "Conv"
    }
    times = dict.fromkeys(KINDS, 0.0)
    for node in request.get_profiling_info():  # means over all runs
        kind = convolutions.get(node.node_name.partition("/")[0], _other(node.node_type))
        times[kind] += node.real_time.total_seconds()
    return _scaled(times, _cpu_ms(lambda: plain.infer([image]), runs))


def _scaled(times: dict[str, float], total_ms: float) -> dict[str, float]:
    return {kind: spent / sum(times.values()) * total_ms for kind, spent in times.items()}


def _cpu_ms(run: Callable[[], object], runs: int) -> float:
    taken = []
    for _ in range(runs):
        started = time.process_time()
        run()
        taken.append(time.process_time() - started)
    return 1e3 * statistics.median(taken)


def _convolution(node: NodeProto, is_vector: bool) -> str:
    if is_vector:
        return SE
    kernel: Any = attributes_of(node).get("kernel_shape", [])
    if "merged_groups" in {entry.key for entry in node.metadata_props} or group_count(node) > 1:
        return GROUPED
    return POINTWISE if set(kernel) == {1} else OTHER


def _other(operator: str) -> str:
    return OPERATORS.get(operator, REST)


def _image(path: Path) -> np.ndarray:
    side = onnx.load(path, load_external_data=False).graph.input[0].type.tensor_type.shape.dim[2]
    size = (1, 3, side.dim_value, side.dim_value)
    return np.random.default_rng(0).normal(size=size).astype(np.float32)


if __name__ == "__main__":
    main()
