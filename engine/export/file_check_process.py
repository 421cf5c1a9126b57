"""The handler of the child process of `file_check`."""

from __future__ import annotations

from math import prod
from pathlib import Path

from onnx import ModelProto

from engine.export.onnx_reading import load_onnx
from engine.jobs.messages import Message
from engine.onnx import graph_io
from engine.onnx.signature import find_image_inputs
from engine.runtimes.registry import RUNTIMES, runtime_of


def check(request: Message) -> Message:
    """Why runtimes cannot run the operators of a file, and what it declares.

    Raises the errors of `load_onnx`, and those of an input that takes no images.
    """
    path = Path(request.facts["path"])
    declared = _declared(load_onnx(path), path.name)
    known = [name for name in request.facts["runtimes"] if name in RUNTIMES]
    reasons = {name: runtime_of(name).lacks(path) for name in known}
    lacking = {name: why for name, why in reasons.items() if why is not None}
    return Message({"lacking": lacking, "declared": declared})


def _declared(model: ModelProto, file: str) -> dict[str, object]:
    """The fields of FileFacts. Raises ExportFailed for a graph that takes no square images."""
    image = find_image_inputs(model, file, None)[0]
    shapes = {output.name: graph_io.shape_of(output) for output in model.graph.output}
    scores = [shape[-1] for shape in shapes.values() if len(shape) == 2 and (shape[-1] or 0) > 1]
    side = "any side" if image.side_is_open else f"{image.side} x {image.side}"
    return {
        "opset": graph_io.opset_of(model),
        "producer": " ".join(filter(None, (model.producer_name, model.producer_version)))[:60],
        "input": f"{side} {image.layout} {image.type_name}",
        "batch": image.batch,
        "outputs": list(shapes),
        "classes": scores[0] if len(scores) == 1 else None,
        "parameters": sum(prod(tensor.dims) for tensor in model.graph.initializer),
    }


HANDLERS = {"check": check}
