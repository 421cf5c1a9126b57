"""Takes in a foreign ONNX file: checked, its tensors renamed, its batch opened where that works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto

from db.tables import Weights
from engine import artifacts, onnx_graph
from engine.catalog import CatalogModel
from engine.database import record_model
from engine.digests import file_digest
from engine.errors import CheckpointRejected, ExportFailed
from engine.export.exported import Exported, finish
from engine.export.onnx_tidy import tidy
from engine.export.verify import compare, probe_inputs
from engine.jobs.context import JobContext
from engine.preprocess import PreprocessSpec
from engine.quantize.foreign import quantised
from engine.runtimes.onnx_runtime import OnnxRuntime
from engine.specs import CPU_PROVIDER, ExportSpec
from engine.weights.finding import find_weights

RESIZE_OF_CROP = 224 / 256


def import_onnx(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    """Stores the file as an export artifact; returns its digest.

    Raises CheckpointRejected for a file that is no ONNX model, ExportFailed for one that does not
    take one float image (N, 3, side, side) and give one row of scores an image.
    """
    file = find_weights(model, spec.weights, lambda done, total: None)
    if file is None:
        raise ExportFailed("An ONNX file carries its own weights: choose weights of kind 'file'.")
    context.stage(f"Reading {file.path.name}.")
    proto = load_onnx(file.path)
    side = image_side(proto, file.path)
    preprocess = _preprocess(spec, side)
    weights = Weights(
        digest=file.digest,
        model_id=model.id,
        kind=spec.weights.kind,
        origin=file.origin,
        size_bytes=file.path.stat().st_size,
    )
    record_model(model, context.url)
    artifacts.record_weights(weights, context.url)
    path = context.workspace / "artifact" / artifacts.MODEL_FILE
    path.parent.mkdir()
    onnx_graph.strip_origins(proto)
    tidy(proto)
    onnx_graph.rename_tensor(proto, proto.graph.input[0].name, onnx_graph.INPUT)
    onnx_graph.rename_tensor(proto, proto.graph.output[0].name, onnx_graph.OUTPUT)
    open_batch(proto)
    onnx_graph.save(proto, path)
    context.stage("Comparing with the original.")
    original = OnnxRuntime(file.path, CPU_PROVIDER, threads=0)
    stored = OnnxRuntime(path, CPU_PROVIDER, threads=0)
    inputs = probe_inputs(preprocess)
    try:
        agreement = compare(original.run, stored.run, inputs)
    except Exception as error:
        raise ExportFailed(
            f"{file.path.name} does not run on batches of {[len(i) for i in inputs]} images of "
            f"{side} x {side}: {str(error).splitlines()[0][:200]}"
        ) from error
    scores = stored.run(inputs[0])
    about: dict[str, Any] = {"scores": _kind_of(scores), "original_sha256": file_digest(file.path)}
    if (integers := quantised(proto)) is not None:
        about["quantised"] = integers
        context.say(
            f"The file is quantised: {integers['layers']} of {integers['of']} layers are in "
            f"integers. It is taken as it is; what is called fp32 of it is not."
        )
    made = Exported(path.parent, proto, weights, preprocess, agreement, about=about)
    return finish(made, model, spec, context)


def load_onnx(path: Path) -> ModelProto:
    """Reads and checks a file, with its external data. Raises CheckpointRejected."""
    # load() confines external data to the folder of the file.
    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "unreadable"
        raise CheckpointRejected(f"{path.name} is not a valid ONNX model: {reason}") from error
    return proto


def image_side(proto: ModelProto, path: Path) -> int:
    """The side of the images a classifier takes; ExportFailed if the graph is none."""
    constants = {initializer.name for initializer in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in constants]
    outputs = list(proto.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        raise ExportFailed(
            f"{path.name} has {len(inputs)} inputs and {len(outputs)} outputs; a classifier has "
            f"one image input and one score output."
        )
    shape, scores = onnx_graph.shape_of(inputs[0]), onnx_graph.shape_of(outputs[0])
    fits = len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3]
    if not fits or not onnx_graph.is_float32(inputs[0]):
        raise ExportFailed(
            f"{path.name} takes {shape}; expected float32 images (batch, 3, side, side)."
        )
    if len(scores) != 2 or not scores[1]:
        raise ExportFailed(f"{path.name} gives {scores}; expected scores (batch, classes).")
    return shape[2] or 224


def _preprocess(spec: ExportSpec, side: int) -> PreprocessSpec:
    # Nothing in the file says how images are prepared; the plan tells that this is assumed.
    assumed = PreprocessSpec(resize=round(side / RESIZE_OF_CROP), crop=side)
    given = assumed.changed(spec.preprocess)
    if given.crop != side:
        raise ExportFailed(
            f"The file takes {side} x {side} pixels, not {given.crop} x {given.crop}."
        )
    return given


def open_batch(proto: ModelProto) -> None:
    """Lets the first dimension of input and output be anything."""
    del proto.graph.value_info[:]
    for value in (proto.graph.input[0], proto.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = onnx_graph.BATCH


def _kind_of(scores: np.ndarray) -> str:
    in_range = scores.min() >= 0 and scores.max() <= 1
    sums_to_one = np.allclose(scores.sum(axis=1), 1, atol=1e-3)
    return "probabilities" if in_range and sums_to_one else "logits"
