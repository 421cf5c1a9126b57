"""ONNX Runtime sessions over graphs made in memory; weights travel through a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import ModelProto


def session_of(
    model: ModelProto, threads: int, optimised: Path | None = None
) -> ort.InferenceSession:
    """A CPU session; with `optimised`, the graph that ONNX Runtime makes of it is written there.

    What is written stops at the extended level: the last one is for one machine only.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if optimised is not None:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimised)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
