"""Build: an export becomes an artifact of one precision, compared with what it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnx import ModelProto

from db.enums import ArtifactKind, Precision, WeightsKind
from db.models import Artifact
from engine.build.fp16 import builder as half
from engine.build.int8 import builder
from engine.build.int8.accuracy_control.checkpoint import Journal, journal_path
from engine.build.lookup import recipe_of
from engine.common.environment import library_versions
from engine.common.files import disk_full_as_error
from engine.common.scores import softmax
from engine.config import settings
from engine.errors import ArtifactMissing, BuildFailed
from engine.export.verify import Agreement, compare, probe_inputs
from engine.jobs.context import JobContext
from engine.jobs.results import JobResult
from engine.onnx import graph_io
from engine.onnx.opset import OPSET
from engine.runtimes.onnx_runtime import OnnxRuntime
from engine.specs import CPU_PROVIDER, BuildSpec
from engine.store import artifacts
from engine.store.manifest import PROBABILITIES, BuildDetails, BuildManifest, ExportManifest

LARGEST_FP32_DIFFERENCE = 1e-4


@dataclass(frozen=True, slots=True)
class Source:
    """What a builder works from; `recipe` is that of the build."""

    export: Artifact
    manifest: ExportManifest
    model: ModelProto
    spec: BuildSpec
    recipe: str


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: finds the artifact of this recipe, or makes it from its export."""
    spec = BuildSpec.model_validate(params)
    key = recipe_of(spec, context.url)
    known = artifacts.find_by_recipe(key, context.url)
    if known is not None:
        context.say(f"Already there: artifact {known.digest[:12]}.")
        return JobResult(artifact=known.digest, reused=True).dump()
    export = artifacts.find_by_recipe(spec.export.recipe(), context.url)
    if export is None:
        raise ArtifactMissing(f"The export of {spec.export.model_id} is gone; queue the run again.")
    manifest = ExportManifest.from_artifact(export)
    if spec.precision != Precision.FP32 and manifest.quantized:
        raise BuildFailed(
            f"{export.model_id} comes from a file that is quantized already, so there is no "
            f"{spec.precision} build of it: choose fp32, which takes the file as it is, or bring "
            f"the file that it was made of."
        )
    if spec.precision == Precision.INT8 and (why := manifest.not_quantizable):
        raise BuildFailed(
            f"There is no int8 build of {export.model_id}: {why}. Export the network again in "
            f"opset {OPSET} or newer, or choose fp32 or fp16."
        )
    path = context.workspace / "artifact" / artifacts.MODEL_FILE
    path.parent.mkdir()
    context.stage(f"Building {spec.precision}.")
    source = Source(export, manifest, _optimized(export, context), spec, key)
    details = _BUILDERS[spec.precision](source, path, context)
    if _appends_softmax(source):
        graph_io.append_softmax(path)
        details = details.model_copy(update={"appended": "softmax"})
    context.stage("Comparing the build with the export.")
    agreement = _agreement(source, path)
    context.say(f"Largest relative difference {agreement.max_relative_difference:.1e}.")
    digest = _store(source, key, path, details, agreement, context)
    Journal(journal_path(key)).remove()
    return JobResult(artifact=digest, reused=False).dump()


def _optimized(export: Artifact, context: JobContext) -> ModelProto:
    """The graph after ONNX Runtime's basic level: constants folded, BatchNorm in the convolutions.

    Higher levels write operators of one machine's kernels and are left to the session.
    """
    path = context.workspace / "optimized.onnx"
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    with disk_full_as_error(path.parent):
        ort.InferenceSession(
            str(artifacts.model_path(export.digest)), options, providers=[CPU_PROVIDER]
        )
    model = onnx.load(path)
    path.unlink()
    graph_io.strip_origins(model)
    # A branch that is always taken is written at the end, and its old tensors are still declared.
    graph_io.sort_nodes(model.graph)
    graph_io.drop_stale_shapes(model.graph)
    return model


def _fp32(source: Source, path: Path, context: JobContext) -> BuildDetails:
    graph_io.save(source.model, path)
    return BuildDetails(optimized="onnxruntime basic level")


def _fp16(source: Source, path: Path, context: JobContext) -> BuildDetails:
    return half.build(source.model, source.export, source.spec.range_check, path, context)


def _int8(source: Source, path: Path, context: JobContext) -> BuildDetails:
    calibration = source.spec.calibration
    if calibration is None:
        raise BuildFailed("int8 needs a calibration dataset.")
    return builder.build(source.model, source.export, calibration, path, context, source.recipe)


_BUILDERS: dict[Precision, Callable[[Source, Path, JobContext], BuildDetails]] = {
    Precision.FP32: _fp32,
    Precision.FP16: _fp16,
    Precision.INT8: _int8,
}


def _appends_softmax(source: Source) -> bool:
    """Whether one is asked for and the export's scores are no probabilities yet."""
    return source.spec.softmax and not source.manifest.gives_probabilities


def _agreement(source: Source, path: Path) -> Agreement:
    cpu, threads = CPU_PROVIDER, settings().threads
    export, precision = source.export, source.spec.precision
    reference = OnnxRuntime(artifacts.model_path(export.digest), cpu, threads)
    # Integers of a foreign file are the same on both sides; ours are held against floats.
    built = OnnxRuntime(path, cpu, threads, exact=precision == Precision.INT8)
    inputs = probe_inputs(artifacts.preprocess_of(export))
    expected = reference.run
    if _appends_softmax(source):
        expected = lambda batch: softmax(reference.run(batch))  # noqa: E731
    agreement = compare(expected, built.run, inputs)
    difference = agreement.max_relative_difference
    if difference == float("inf"):
        raise BuildFailed(
            f"The {precision} build gives scores that are not finite; the model's values exceed "
            f"what {precision} can hold."
        )
    if precision == Precision.FP32 and difference > LARGEST_FP32_DIFFERENCE:
        raise BuildFailed(
            f"The optimized model differs from its export by {difference:.1e}, more than rounding."
        )
    return agreement


def _store(
    source: Source,
    key: str,
    path: Path,
    details: BuildDetails,
    agreement: Agreement,
    context: JobContext,
) -> str:
    export = source.export
    new = artifacts.NewArtifact(
        recipe=key,
        kind=ArtifactKind.BUILD,
        model_id=export.model_id,
        weights_digest=export.weights_digest,
        weights_kind=WeightsKind(export.weights_kind),
        precision=source.spec.precision,
        parent_digest=export.digest,
        weights_origin=source.manifest.weights.origin,
        manifest=BuildManifest(
            **source.manifest.inherited()
            | ({"scores": PROBABILITIES} if source.spec.softmax else {}),
            build=details,
            agreement=agreement.to_dict(),
            versions=library_versions(),
        ),
    )
    artifact = artifacts.store(path.parent, new, context.url)
    context.say(f"Stored as artifact {artifact.digest[:12]} ({artifact.size_bytes / 1e6:.1f} MB).")
    return artifact.digest
