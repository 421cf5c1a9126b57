"""Takes in a foreign ONNX file: understood, brought into our form, held against the original."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from db.models import Weights
from engine.catalog.models import CatalogModel
from engine.common.digests import file_digest
from engine.config import settings
from engine.errors import ExportFailed
from engine.export.onnx_cleanup import lift_constants, tidy
from engine.export.onnx_reading import load_onnx
from engine.export.original import Original, open_original, runtime_reason
from engine.export.prequantized import quantization_summary
from engine.export.record import Exported, finish
from engine.export.shape_values import fold_shape_values
from engine.export.verify import TOLERANCE, Agreement, compare, probe_inputs
from engine.jobs.context import JobContext
from engine.onnx import graph_io
from engine.onnx.adapters import adapt_input, adapt_output
from engine.onnx.batch import open_batch, set_batch
from engine.onnx.opset import OPSET, convert_opset, remove_weight_inputs
from engine.onnx.signature import MAX_PIXEL, ScoreOutput, find_score_output
from engine.onnx.widen import to_float32, widened_type
from engine.preprocess import PreprocessSpec
from engine.runtimes.onnxruntime import OnnxSession
from engine.specs import CPU_PROVIDER, ExportSpec
from engine.store import artifacts
from engine.store.database import record_model
from engine.weights.lookup import find_weights

RESIZE_OF_CROP = 224 / 256
TOLERANCES = {"float16": 0.02, "bfloat16": 0.1, "float64": TOLERANCE}
"""How far the scores of a file that adds up in fewer bits may be from those in float32."""
SAME_FOR_ALL = (
    "On all test images every class has one and the same score, so that no accuracy of this "
    "network means anything: its weights may be missing, or its softmax goes over another axis "
    "than the classes."
)
SUM_TOLERANCE = 1e-2
"""8-bit probabilities do not sum to exactly 1."""
PIXELS_AS_THEY_ARE = {"scale": 1.0, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


@dataclass(frozen=True, slots=True)
class Form:
    """One form of the graph that may be stored: in our opset or its own, for any batch or one."""

    own_opset: bool
    any_batch: bool


FORMS = (Form(True, True), Form(False, True), Form(True, False), Form(False, False))
"""The first that computes what the original does is stored."""


@dataclass(slots=True)
class Taken:
    """A graph in our form on its way into the store; `notes` says what was done and assumed."""

    graph: ModelProto
    agreement: Agreement
    notes: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)


def import_onnx(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    """Stores the file as an export artifact; returns its digest.

    Raises CheckpointRejected for a file that is no ONNX model, ExportFailed for one that does not
    take color images and give one row of scores an image, or does not run.
    """
    file = find_weights(model, spec.weights, lambda done, total: None)
    if file is None:
        raise ExportFailed("An ONNX file carries its own weights: choose weights of kind 'file'.")
    context.stage(f"Reading {file.path.name}.")
    proto = load_onnx(file.path)
    remove_weight_inputs(proto)
    context.stage("Running the original.")
    original = open_original(file.path, proto, (spec.preprocess or {}).get("crop"))
    output = find_score_output(
        proto,
        original.sample,
        original.batch,
        file.path.name,
        spec.output,
        (*spec.classes, *(classes + 1 for classes in spec.classes)),
    )
    if spec.background is not None and spec.background >= output.classes:
        raise ExportFailed(
            f"{file.path.name} has outputs 0 to {output.classes - 1}, and no output "
            f"{spec.background} that could be a background class: --background is usually 0."
        )
    preprocess = _preprocess(spec, original, file.path.name)
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
    context.stage("Comparing with the original.")
    taken = _take(proto, original, output, preprocess, path)
    for note in taken.notes:
        context.say(note)
    about = {
        **taken.about,
        **({"notes": taken.notes} if taken.notes else {}),
        "original_sha256": file_digest(file.path),
    }
    made = Exported(path.parent, taken.graph, weights, preprocess, taken.agreement, about=about)
    return finish(made, model, spec, context)


def _preprocess(spec: ExportSpec, original: Original, file: str) -> PreprocessSpec:
    # Nothing in the file says how images are prepared; the plan tells that this is assumed.
    side = original.input.side
    assumed = PreprocessSpec(resize=round(side / RESIZE_OF_CROP), crop=side)
    if original.input.takes_integer_pixels:
        assumed = assumed.with_overrides(PIXELS_AS_THEY_ARE)
    given = assumed.with_overrides(spec.preprocess)
    if given.crop != side:
        raise ExportFailed(f"{file} takes {side} x {side} pixels, not {given.crop} x {given.crop}.")
    changed = {key: given.to_dict()[key] for key in PIXELS_AS_THEY_ARE}
    if original.input.takes_integer_pixels and changed != PIXELS_AS_THEY_ARE:
        raise ExportFailed(
            f"{file} takes {original.input.type_name} pixels from 0 to 255 as they are: leave out "
            f"mean, std and scale."
        )
    return given


def _take(
    proto: ModelProto,
    original: Original,
    output: ScoreOutput,
    preprocess: PreprocessSpec,
    path: Path,
) -> Taken:
    """The first form of the graph that computes what the original does, saved to `path`."""
    graph_io.strip_exporter_metadata(proto)
    notes = (
        []
        if output.reason is None
        else [f"Scores are taken from {output.name!r}: {output.reason}."]
    )
    lift_constants(proto.graph)
    given, tolerance = original.input, TOLERANCE
    stored_as = to_float32(proto)
    if stored_as is not None:
        notes.append(f"The file is stored in {stored_as}: it is computed in float32.")
        tolerance = TOLERANCES[stored_as]
        given = replace(given, type=widened_type(given.type))
        output = replace(output, type=np.dtype(np.float32))
    scale = adapt_output(proto, output)
    notes += adapt_input(proto, given)
    inputs = _probes(preprocess, original)
    wanted = [scale.to_scores(original.scores(output.name, one)) for one in inputs]
    if not all(np.isfinite(scores).all() for scores in wanted):
        raise ExportFailed(
            f"{original.file} gives scores that are not finite at {output.name!r} on test images: "
            f"its weights may be damaged."
        )
    failures: list[str] = []
    own_already = graph_io.opset_of(proto) >= OPSET
    for form in FORMS:
        if own_already and not form.own_opset:
            continue
        try:
            graph, mended = _formed(proto, form, original.batch, given.side)
            graph_io.save(graph, path)
            agreement = _agreement(path, inputs, wanted, tolerance)
        except ExportFailed as error:
            failures.append(str(error))
            continue
        kind = _kind_of(wanted[0])
        taken = Taken(graph, agreement, [*notes, *scale.notes], {"scores": kind})
        if all(np.ptp(scores, axis=1).max() == 0 for scores in wanted):
            taken.notes.append(SAME_FOR_ALL)
        _tell_form(taken, form, original.batch, mended, failures)
        _tell_quantized(taken)
        return taken
    raise ExportFailed(
        f"{original.file} does not compute the same in the workbench's form, or not the same "
        f"twice: {failures[0]}"
    )


def _probes(preprocess: PreprocessSpec, original: Original) -> list[np.ndarray]:
    """Test images and noise, in the values that the network takes."""
    inputs = probe_inputs(preprocess)
    if original.input.takes_integer_pixels:
        noise = np.clip(np.rint(inputs[-1] * 50 + 128), 0, MAX_PIXEL).astype(np.float32)
        inputs = [*(np.rint(one) for one in inputs[:-1]), noise]
    return inputs


def _formed(proto: ModelProto, form: Form, batch: int, side: int) -> tuple[ModelProto, int]:
    """A copy in one form, and how many Reshapes were mended; ExportFailed where it has none."""
    graph = ModelProto()
    graph.CopyFrom(proto)
    if form.own_opset:
        graph = convert_opset(graph)
    tidy(graph)
    if form.any_batch:
        mended = open_batch(graph, batch)
        fold_shape_values(graph, side)
        return graph, mended
    set_batch(graph, batch)
    return graph, 0


def _agreement(
    path: Path, inputs: list[np.ndarray], wanted: list[np.ndarray], tolerance: float
) -> Agreement:
    """How close the stored file is to the original; ExportFailed where it is not, or does not run.

    The original ran image by image, or in its own batch: so the stored one is held against scores
    in which no image can have touched another.
    """
    expected = iter(wanted)
    try:
        stored = OnnxSession(path, CPU_PROVIDER, settings().threads)
        agreement = compare(lambda _: next(expected), stored.run, inputs, tolerance)
    except Exception as error:  # ONNX Runtime has errors of its own for each kind of damage
        raise ExportFailed(runtime_reason(error)) from error
    difference = agreement.max_relative_difference
    if difference == float("inf"):
        raise ExportFailed("it gives scores of another shape, or none that are finite")
    if difference > tolerance or agreement.same_top1 < agreement.inputs:
        raise ExportFailed(
            f"scores differ by {difference:.1e} (at most {tolerance:g}), and the same top-1 comes "
            f"out on {agreement.same_top1} of {agreement.inputs} images"
        )
    return agreement


def _tell_form(taken: Taken, form: Form, batch: int, mended: int, failures: list[str]) -> None:
    """What became of opset and batch, for the log and the manifest."""
    opset = graph_io.opset_of(taken.graph)
    if mended:
        taken.notes.append(
            f"The batch of {batch} stood in {mended} Reshape{'s' * (mended > 1)}: mended, so that "
            f"it takes any batch."
        )
    if not form.any_batch:
        taken.about["fixed_batch"] = batch
        taken.notes.append(
            f"The network takes batches of {batch} only, and is benchmarked and evaluated in "
            f"those: opened to any batch it would not compute the same ({failures[0].rstrip('.')})."
        )
    if not form.own_opset and opset < OPSET:
        taken.about["not_quantizable"] = (
            f"it is in opset {opset}, which could not be brought to {OPSET} ({failures[0]})"
        )
        taken.notes.append(f"It stays in opset {opset}: there is no int8 build of it.")


def _tell_quantized(taken: Taken) -> None:
    integers = quantization_summary(taken.graph)
    if integers is not None:
        taken.about["quantized"] = integers
        taken.notes.append(
            f"The file is quantized: {integers.layers} of {integers.of} layers are in "
            f"integers. It is taken as it is; what is called fp32 of it is not."
        )


def _kind_of(scores: np.ndarray) -> str:
    in_range = scores.min() >= 0 and scores.max() <= 1
    sums_to_one = np.allclose(scores.sum(axis=1), 1, atol=SUM_TOLERANCE)
    return "probabilities" if in_range and sums_to_one else "logits"
