"""ONNX Runtime sessions over graphs made in memory; weights travel through a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import ModelProto

from engine.runtimes.onnx_runtime import EXACT_SUMS


def session_of(
    model: ModelProto, threads: int, optimised: Path | None = None
) -> ort.InferenceSession:
    """A CPU session; with `optimised`, the graph that ONNX Runtime makes of it is written there.

    What is written stops at the extended level: the last one is for one machine only. Integers are
    added up exactly, also where the processor's fast kernels would overflow.
    """
    options = ort.SessionOptions()
    options.add_session_config_entry(EXACT_SUMS, "1")
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if optimised is not None:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimised)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def plain_session_of(model: ModelProto, threads: int) -> ort.InferenceSession:
    """A CPU session that leaves QuantizeLinear and DequantizeLinear where they are."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    # Threads that wait at the end of one session must not take the cores from the next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
