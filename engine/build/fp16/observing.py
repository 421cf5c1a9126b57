"""What ONNX Runtime makes of a half precision build on this processor, read from its own graph."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, shape_inference

from engine.build.fp16.execution import EMULATED, NATIVE, Execution, expected
from engine.build.fp16.limits import WEIGHTED
from engine.runtimes.observing import graph_as_run


def observed(model: ModelProto) -> Execution:
    """What ONNX Runtime does with a half precision model on this processor, by its own graph."""
    said = expected()
    if computes_in_half(model):
        return said if said.kind == NATIVE else Execution(NATIVE, "ONNX Runtime keeps it so")
    if said.kind == EMULATED:
        return said
    return Execution(EMULATED, f"{said.why}, but ONNX Runtime computes in float32")


def computes_in_half(model: ModelProto) -> bool:
    """Whether any of the layers with weights still is in half precision in a session's graph."""
    graph = shape_inference.infer_shapes(graph_as_run(model)).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
    outputs = [node.output[0] for node in graph.node if node.op_type in WEIGHTED]
    return any(kinds.get(name) == TensorProto.FLOAT16 for name in outputs)
