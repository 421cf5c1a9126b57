"""Foreign graphs in one opset, so that builds and probes are written in one form of operators."""

from __future__ import annotations

import onnx
from onnx import ModelProto, version_converter

from engine.errors import ExportFailed
from engine.onnx import graph_io
from engine.text import first_line

OPSET = 18
"""What our own exports are written in; graphs in a newer opset stay in theirs."""
LEAST_IR = 8


def to_own_opset(model: ModelProto) -> ModelProto:
    """The graph in OPSET at least, by onnx's version converter.

    Raises ExportFailed with the converter's reason. That scores stay the same is for the caller to
    check: converters have faults.
    """
    if graph_io.opset_of(model) >= OPSET:
        return model
    try:
        converted = version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter raises RuntimeError, ValueError and others
        raise ExportFailed(
            f"Opset {graph_io.opset_of(model)} cannot be converted to {OPSET}: {first_line(error)}"
        ) from error
    converted.ir_version = max(converted.ir_version, LEAST_IR)
    graph_io.sort_nodes(converted.graph)
    return converted


def weights_are_no_inputs(model: ModelProto) -> None:
    """Files of IR version 3 list weights among the inputs too; newer ones need not."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) < len(model.graph.input):
        copies = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in inputs]
        del model.graph.input[:]
        model.graph.input.extend(copies)
    model.ir_version = max(model.ir_version, LEAST_IR)
