"""The fp32 build: the optimized graph as it is. Precisions that share its file are built by it."""

from __future__ import annotations

from pathlib import Path

from engine.build.builders import Source
from engine.jobs.context import JobContext
from engine.onnx import graph_io
from engine.store.manifest import BuildDetails


def build(source: Source, path: Path, context: JobContext) -> BuildDetails:
    """Writes the model; returns what the manifest says of it."""
    graph_io.save(source.model, path)
    return BuildDetails(optimized="onnxruntime basic level")
