"""Conversion of users' graphs to one opset, so that builds handle one form of each operator."""

from __future__ import annotations

import onnx
from onnx import ModelProto, version_converter

from engine.errors import ExportFailed
from engine.onnx import graph_io
from engine.text import first_line

OPSET = 18
"""The opset of exports; imported graphs in a newer opset keep their own."""
MIN_IR_VERSION = 8


def convert_opset(model: ModelProto) -> ModelProto:
    """Converts a graph to OPSET with onnx's version converter; newer graphs are returned as is.

    Raises ExportFailed with the converter's reason. The converter has bugs, so the caller must
    check that the scores stay the same.
    """
    if graph_io.opset_of(model) >= OPSET:
        return model
    try:
        converted = version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter raises RuntimeError, ValueError and others
        raise ExportFailed(
            f"Opset {graph_io.opset_of(model)} cannot be converted to {OPSET}: {first_line(error)}"
        ) from error
    converted.ir_version = max(converted.ir_version, MIN_IR_VERSION)
    graph_io.sort_nodes(converted.graph)
    return converted


def remove_weight_inputs(model: ModelProto) -> None:
    """Removes weights from the inputs, in place: only IR version 3 requires them there."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) < len(model.graph.input):
        copies = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in inputs]
        del model.graph.input[:]
        model.graph.input.extend(copies)
    model.ir_version = max(model.ir_version, MIN_IR_VERSION)
