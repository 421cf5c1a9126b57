"""Actual execution of an fp16 build in ONNX Runtime, read from its optimized graph."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, shape_inference

from engine.build.fp16.execution import EMULATED, NATIVE, Execution, expected
from engine.build.fp16.limits import WEIGHTED
from engine.runtimes.observing import graph_as_run


def observed(model: ModelProto) -> Execution:
    """How ONNX Runtime executes an fp16 model on this processor, by its optimized graph."""
    execution = expected()
    if computes_in_half(model):
        return (
            execution
            if execution.kind == NATIVE
            else Execution(NATIVE, "ONNX Runtime computes in fp16")
        )
    if execution.kind == EMULATED:
        return execution
    return Execution(EMULATED, f"{execution.why}, but ONNX Runtime computes in float32")


def computes_in_half(model: ModelProto) -> bool:
    """Whether any layer with weights is still fp16 in the optimized graph of a session."""
    graph = shape_inference.infer_shapes(graph_as_run(model)).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
    outputs = [node.output[0] for node in graph.node if node.op_type in WEIGHTED]
    return any(kinds.get(name) == TensorProto.FLOAT16 for name in outputs)
