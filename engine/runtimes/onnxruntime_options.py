"""ONNX Runtime's own sessions and their options, for sessions, profiler and the builder's tools."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from engine.specs import CPU_PROVIDER

ort.set_default_logger_severity(3)


def options_of(
    threads: int, level: ort.GraphOptimizationLevel | None = None, severity: int = 3
) -> ort.SessionOptions:
    """Options of a session with intra-op `threads`, at an optimization level (None: highest)."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = severity
    if level is not None:
        options.graph_optimization_level = level
    return options


def session_over(
    model: bytes | Path, options: ort.SessionOptions, provider: str = CPU_PROVIDER
) -> ort.InferenceSession:
    """ONNX Runtime's own session over a file or over the bytes of one."""
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=[provider])
