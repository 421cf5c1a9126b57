"""Imports a foreign ONNX file: reads it, converts it to the stored form, verifies the result."""

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
from engine.export.onnx_cleanup import clean_graph, lift_constants
from engine.export.onnx_reading import load_onnx
from engine.export.original import Original, open_original, runtime_reason
from engine.export.prequantized import quantization_summary
from engine.export.record import Exported, store_export
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
"""Tolerated relative difference of scores, by the float type that the file is stored in."""
CONSTANT_SCORES_NOTE = (
    "All classes have the same score on all test images, so that the accuracy of this network has "
    "no meaning: its weights may be missing, or its softmax uses another axis than the classes."
)
SUM_TOLERANCE = 1e-2
"""Tolerance for 8-bit probabilities, which do not sum to exactly 1."""
RAW_PIXELS = {"scale": 1.0, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


@dataclass(frozen=True, slots=True)
class GraphForm:
    """A form in which the graph may be stored: own opset or original, any batch size or one."""

    own_opset: bool
    any_batch: bool


FORMS = (
    GraphForm(True, True),
    GraphForm(False, True),
    GraphForm(True, False),
    GraphForm(False, False),
)
"""In order of preference: the first one that agrees with the original is stored."""


@dataclass(slots=True)
class ImportedGraph:
    """A verified graph that is to be stored; `notes`: what was changed and assumed, in sentences.

    `manifest_facts`: keys to add to the manifest.
    """

    graph: ModelProto
    agreement: Agreement
    notes: list[str] = field(default_factory=list)
    manifest_facts: dict[str, Any] = field(default_factory=dict)


def import_onnx(model: CatalogModel, spec: ExportSpec, context: JobContext) -> str:
    """Stores the file as an export artifact; returns its digest.

    Raises CheckpointRejected for a file that is not an ONNX model, ExportFailed for a model that
    does not run, or that does not map color images to one row of scores per image.
    """
    file = find_weights(model, spec.weights, lambda done, total: None)
    if file is None:
        raise ExportFailed("An ONNX file contains its weights: choose weights of kind 'file'.")
    context.stage(f"Reading {file.path.name}.")
    proto = load_onnx(file.path)
    remove_weight_inputs(proto)
    context.stage("Running the original file.")
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
            f"{file.path.name} has outputs 0 to {output.classes - 1}, so output {spec.background} "
            f"cannot be the background class: --background is usually 0."
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
    context.stage("Verifying against the original.")
    imported = _import_graph(proto, original, output, preprocess, path)
    for note in imported.notes:
        context.say(note)
    manifest_facts = {
        **imported.manifest_facts,
        **({"notes": imported.notes} if imported.notes else {}),
        "original_sha256": file_digest(file.path),
    }
    exported = Exported(
        path.parent,
        imported.graph,
        weights,
        preprocess,
        imported.agreement,
        manifest_facts=manifest_facts,
    )
    return store_export(exported, model, spec, context)


def _preprocess(spec: ExportSpec, original: Original, file: str) -> PreprocessSpec:
    # The file does not state its preprocessing; the run summary shows that this is assumed.
    side = original.input.side
    assumed = PreprocessSpec(resize=round(side / RESIZE_OF_CROP), crop=side)
    if original.input.takes_integer_pixels:
        assumed = assumed.with_overrides(RAW_PIXELS)
    preprocess = assumed.with_overrides(spec.preprocess)
    if preprocess.crop != side:
        raise ExportFailed(
            f"{file} takes {side} x {side} pixels, not {preprocess.crop} x {preprocess.crop}."
        )
    changed = {key: preprocess.to_dict()[key] for key in RAW_PIXELS}
    if original.input.takes_integer_pixels and changed != RAW_PIXELS:
        raise ExportFailed(
            f"{file} takes raw {original.input.type_name} pixels (0 to 255): leave out mean, std "
            f"and scale."
        )
    return preprocess


def _import_graph(
    proto: ModelProto,
    original: Original,
    output: ScoreOutput,
    preprocess: PreprocessSpec,
    path: Path,
) -> ImportedGraph:
    """The first form of the graph that agrees with the original; it is saved to `path`."""
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
        notes.append(f"The file is stored in {stored_as} and computed in float32.")
        tolerance = TOLERANCES[stored_as]
        given = replace(given, type=widened_type(given.type))
        output = replace(output, type=np.dtype(np.float32))
    scale = adapt_output(proto, output)
    notes += adapt_input(proto, given)
    inputs = _test_inputs(preprocess, original)
    expected_scores = [scale.to_scores(original.scores(output.name, one)) for one in inputs]
    if not all(np.isfinite(scores).all() for scores in expected_scores):
        raise ExportFailed(
            f"{original.file} has non-finite scores at {output.name!r} on test images: its weights "
            f"may be damaged. Check the original file."
        )
    failures: list[str] = []
    has_own_opset = graph_io.opset_of(proto) >= OPSET
    for form in FORMS:
        if has_own_opset and not form.own_opset:
            continue
        try:
            graph, fixed_reshapes = _convert_form(proto, form, original.batch, given.side)
            graph_io.save(graph, path)
            agreement = _check_agreement(path, inputs, expected_scores, tolerance)
        except ExportFailed as error:
            failures.append(str(error))
            continue
        kind = _score_kind(expected_scores[0])
        imported = ImportedGraph(graph, agreement, [*notes, *scale.notes], {"scores": kind})
        if all(np.ptp(scores, axis=1).max() == 0 for scores in expected_scores):
            imported.notes.append(CONSTANT_SCORES_NOTE)
        _note_form(imported, form, original.batch, fixed_reshapes, failures)
        _note_quantization(imported)
        return imported
    raise ExportFailed(
        f"{original.file} does not give the same scores in the stored form, or is not "
        f"deterministic: {failures[0]}"
    )


def _test_inputs(preprocess: PreprocessSpec, original: Original) -> list[np.ndarray]:
    """Test images and random inputs, in the value range of the model input."""
    inputs = probe_inputs(preprocess)
    if original.input.takes_integer_pixels:
        noise = np.clip(np.rint(inputs[-1] * 50 + 128), 0, MAX_PIXEL).astype(np.float32)
        inputs = [*(np.rint(images) for images in inputs[:-1]), noise]
    return inputs


def _convert_form(
    proto: ModelProto, form: GraphForm, batch: int, side: int
) -> tuple[ModelProto, int]:
    """A copy in one form, and its number of fixed Reshapes. Raises ExportFailed if impossible."""
    graph = ModelProto()
    graph.CopyFrom(proto)
    if form.own_opset:
        graph = convert_opset(graph)
    clean_graph(graph)
    if form.any_batch:
        fixed_reshapes = open_batch(graph, batch)
        fold_shape_values(graph, side)
        return graph, fixed_reshapes
    set_batch(graph, batch)
    return graph, 0


def _check_agreement(
    path: Path, inputs: list[np.ndarray], expected_scores: list[np.ndarray], tolerance: float
) -> Agreement:
    """Agreement of the stored file with the original; raises ExportFailed where it is too low.

    The original ran image by image, or at its own batch size, so that the comparison also finds
    forms in which one image changes the scores of another.
    """
    expected = iter(expected_scores)
    try:
        stored = OnnxSession(path, CPU_PROVIDER, settings().threads)
        agreement = compare(lambda _: next(expected), stored.run, inputs, tolerance)
    except Exception as error:  # ONNX Runtime has many error classes
        raise ExportFailed(runtime_reason(error)) from error
    difference = agreement.max_relative_difference
    if difference == float("inf"):
        raise ExportFailed("its scores have another shape or are not finite")
    if difference > tolerance or agreement.same_top1 < agreement.inputs:
        raise ExportFailed(
            f"the relative difference of scores is {difference:.1e} (limit {tolerance:g}), and "
            f"top-1 agrees on {agreement.same_top1} of {agreement.inputs} images"
        )
    return agreement


def _note_form(
    imported: ImportedGraph, form: GraphForm, batch: int, fixed_reshapes: int, failures: list[str]
) -> None:
    """Adds what happened to opset and batch size to the notes and the manifest."""
    opset = graph_io.opset_of(imported.graph)
    if fixed_reshapes:
        imported.notes.append(
            f"The batch size {batch} was fixed in {fixed_reshapes} Reshape"
            f"{'s' * (fixed_reshapes > 1)}; these now accept any batch size."
        )
    if not form.any_batch:
        imported.manifest_facts["fixed_batch"] = batch
        imported.notes.append(
            f"The batch size is fixed to {batch}, also for benchmarks and evaluations: with any "
            f"batch size the scores would differ ({failures[0].rstrip('.')})."
        )
    if not form.own_opset and opset < OPSET:
        imported.manifest_facts["not_quantizable"] = (
            f"it is in opset {opset}, which could not be converted to {OPSET} ({failures[0]})"
        )
        imported.notes.append(f"The opset stays {opset}: int8 builds are not possible.")


def _note_quantization(imported: ImportedGraph) -> None:
    integers = quantization_summary(imported.graph)
    if integers is not None:
        imported.manifest_facts["quantized"] = integers
        imported.notes.append(
            f"The file is already quantized: {integers.layers} of {integers.of} layers are in "
            f"integers. It is used as it is, so its 'fp32' results are not fp32."
        )


def _score_kind(scores: np.ndarray) -> str:
    in_range = scores.min() >= 0 and scores.max() <= 1
    sums_to_one = np.allclose(scores.sum(axis=1), 1, atol=SUM_TOLERANCE)
    return "probabilities" if in_range and sums_to_one else "logits"
