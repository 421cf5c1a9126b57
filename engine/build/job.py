"""The build job: finds the artifact of a recipe, or builds, verifies and stores it."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from db.enums import ArtifactKind, WeightsKind
from db.models import Artifact
from engine.build.builders import Source, builder_of
from engine.build.int8.accuracy_control.checkpoint import SearchCheckpoint, checkpoint_path
from engine.build.lookup import recipe_of
from engine.common.environment import library_versions
from engine.common.scores import softmax
from engine.config import settings
from engine.errors import ArtifactMissing, BuildFailed
from engine.export.verify import Agreement, compare, probe_inputs
from engine.jobs.context import JobContext
from engine.jobs.results import JobResult
from engine.onnx import graph_io
from engine.onnx.opset import OPSET
from engine.runtimes.onnxruntime import OnnxSession
from engine.runtimes.optimizer import optimized
from engine.specs import CPU_PROVIDER, BuildSpec
from engine.specs.precisions import facts_of, file_precision, sharing
from engine.store import artifacts
from engine.store.manifest import PROBABILITIES, BuildDetails, BuildManifest, ExportManifest

LARGEST_FP32_DIFFERENCE = 1e-4


def run(params: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Job handler: returns the artifact of this recipe, built from its export if necessary."""
    spec = BuildSpec.model_validate(params)
    key = recipe_of(spec, context.url)
    existing = artifacts.find_by_recipe(key, context.url)
    if existing is not None:
        context.say(f"Reused artifact {existing.digest[:12]}.")
        return JobResult(artifact=existing.digest, reused=True).dump()
    export = artifacts.find_by_recipe(spec.export.fingerprint(), context.url)
    if export is None:
        raise ArtifactMissing(
            f"The export of {spec.export.model_id} no longer exists; queue the run again."
        )
    manifest = ExportManifest.from_artifact(export)
    shared = _build_with_the_file(spec, context)
    if shared is not None:
        return JobResult(artifact=_store_shared(shared, spec, key, context), reused=False).dump()
    builder, lossy = builder_of(spec.precision), facts_of(file_precision(spec.precision)).lossy
    if lossy and manifest.quantized:
        raise BuildFailed(
            f"{export.model_id} comes from a file that is quantized already, so there is no "
            f"{spec.precision} build of it: choose fp32, which uses the file unchanged, or use "
            f"the original file that is not quantized."
        )
    if builder.integers and (why := manifest.not_quantizable):
        raise BuildFailed(
            f"There is no {spec.precision} build of {export.model_id}: {why}. Export the network "
            f"again in opset {OPSET} or newer, or choose fp32 or fp16."
        )
    path = context.workspace / "artifact" / artifacts.MODEL_FILE
    path.parent.mkdir()
    context.stage(f"Building {spec.precision}.")
    model = optimized(artifacts.model_path(export.digest), context.workspace)
    source = Source(export, manifest, model, spec, key)
    details = builder.build(source, path, context)
    if _appends_softmax(source):
        graph_io.append_softmax(path)
        details = details.model_copy(update={"appended": "softmax"})
    context.stage("Comparing the build with the export.")
    agreement = _agreement(source, path)
    context.say(f"Largest relative difference {agreement.max_relative_difference:.1e}.")
    digest = _store(source, key, path, details, agreement, context)
    SearchCheckpoint(checkpoint_path(key)).remove()
    return JobResult(artifact=digest, reused=False).dump()


def _build_with_the_file(spec: BuildSpec, context: JobContext) -> Artifact | None:
    """A stored build of another precision that executes the same model file."""
    for precision in sharing(spec.precision):
        other = spec.model_copy(update={"precision": precision})
        found = artifacts.find_by_recipe(recipe_of(other, context.url), context.url)
        if found is not None:
            return found
    return None


def _store_shared(shared: Artifact, spec: BuildSpec, key: str, context: JobContext) -> str:
    """Stores the files of another build as those of this precision; returns the digest."""
    folder = context.workspace / "artifact"
    shutil.copytree(artifacts.folder_of(shared.digest), folder)
    manifest = BuildManifest.from_artifact(shared)
    new = artifacts.NewArtifact(
        recipe=key,
        precision=spec.precision,
        parent_digest=shared.parent_digest,
        manifest=manifest.without_identity(),
        **_model_and_weights(shared, manifest),
    )
    artifact = artifacts.store(folder, new, context.url)
    context.say(f"Shares the file of the {shared.precision} build {shared.digest[:12]}.")
    return artifact.digest


def _model_and_weights(artifact: Artifact, manifest: ExportManifest) -> dict[str, Any]:
    """What a build has from the artifact it is made of."""
    return {
        "kind": ArtifactKind.BUILD,
        "model_id": artifact.model_id,
        "weights_digest": artifact.weights_digest,
        "weights_kind": WeightsKind(artifact.weights_kind),
        "weights_origin": manifest.weights.origin,
    }


def _appends_softmax(source: Source) -> bool:
    """Whether a softmax is requested and the export does not output probabilities already."""
    return source.spec.softmax and not source.manifest.gives_probabilities


def _agreement(source: Source, path: Path) -> Agreement:
    cpu, threads = CPU_PROVIDER, settings().threads
    export, precision = source.export, source.spec.precision
    builder, lossy = builder_of(precision), facts_of(file_precision(precision)).lossy
    # A quantized file has the same integers on both sides; an int8 build is compared with floats.
    files = (artifacts.model_path(export.digest), False), (path, builder.integers)
    with ThreadPoolExecutor(len(files)) as pool:
        reference, built = pool.map(
            lambda file: OnnxSession(file[0], cpu, threads, exact=file[1]), files
        )
    inputs = probe_inputs(artifacts.preprocess_of(export))
    expected = reference.run
    if _appends_softmax(source):
        expected = lambda batch: softmax(reference.run(batch))  # noqa: E731
    agreement = compare(expected, built.run, inputs)
    difference = agreement.max_relative_difference
    if difference == float("inf"):
        raise BuildFailed(
            f"The {precision} build gives scores that are not finite; the model's values exceed "
            f"the range of {precision}."
        )
    if not lossy and difference > LARGEST_FP32_DIFFERENCE:
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
    manifest = BuildManifest(
        **source.manifest.inherited() | ({"scores": PROBABILITIES} if source.spec.softmax else {}),
        build=details,
        agreement=agreement.to_dict(),
        versions=library_versions(),
    )
    new = artifacts.NewArtifact(
        recipe=key,
        precision=source.spec.precision,
        parent_digest=source.export.digest,
        manifest=manifest,
        **_model_and_weights(source.export, source.manifest),
    )
    artifact = artifacts.store(path.parent, new, context.url)
    context.say(f"Stored as artifact {artifact.digest[:12]} ({artifact.size_bytes / 1e6:.1f} MB).")
    return artifact.digest
