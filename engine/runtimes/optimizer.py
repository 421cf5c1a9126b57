"""The offline optimization that every build starts from: ONNX Runtime's basic level."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import ModelProto

from engine.common.files import disk_full_as_error
from engine.onnx import graph_io
from engine.runtimes.onnxruntime import options_of, session_over


def optimized(path: Path, folder: Path) -> ModelProto:
    """The graph of a file with constants folded and BatchNorm in the convolutions.

    Higher levels write operators of one machine's kernels and are left to the session. `folder`
    takes a file meanwhile; a full disk raises what `disk_full_as_error` raises.
    """
    written = folder / "optimized.onnx"
    options = options_of(0, ort.GraphOptimizationLevel.ORT_ENABLE_BASIC)
    options.optimized_model_filepath = str(written)
    with disk_full_as_error(folder):
        session_over(path, options)
    model = onnx.load(written)
    written.unlink()
    graph_io.strip_exporter_metadata(model)
    # A branch that is always taken is written at the end, and its old tensors are still declared.
    graph_io.sort_nodes(model.graph)
    graph_io.drop_stale_shapes(model.graph)
    return model
