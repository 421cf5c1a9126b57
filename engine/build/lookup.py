"""Lookup of the artifact that a measurement refers to, by recipe or by digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.enums import ArtifactKind
from db.models import Artifact
from db.session import reading
from engine.build.builders import builder_of
from engine.build.int8 import targets
from engine.catalog.models import find_model
from engine.common.digests import data_digest
from engine.common.environment import instruction_sets
from engine.config import settings
from engine.errors import ArtifactMissing, InvalidRequest, WorkbenchError
from engine.export.file_check import check_onnx_file
from engine.preprocess import PreprocessSpec
from engine.runtimes.registry import runtime_of, why_not
from engine.specs import (
    CPU_PROVIDER,
    DEFAULT_RUNTIME,
    BenchmarkSpec,
    BuildSpec,
    CalibrationSpec,
    EvaluateSpec,
    ProfileSpec,
    TargetName,
)
from engine.store import artifacts
from engine.store.manifest import BuildManifest, ExportManifest
from engine.text import quoted


def published_of(digest: str, url: str) -> PreprocessSpec:
    """The protocol of an artifact's published figures; InvalidRequest for models without any."""
    model = find_model(artifacts.find_by_digest(digest, url).model_id)
    if model.preprocess is None:
        raise InvalidRequest(
            f"{model.id} is not in the catalog and has no published protocol; leave out "
            f"the protocol to use the preprocessing of its export."
        )
    return model.preprocess


def artifact_of(spec: BenchmarkSpec | EvaluateSpec | ProfileSpec, url: str) -> Artifact:
    """The artifact to measure. Raises ArtifactMissing if it does not exist."""
    if spec.artifact is not None:
        return artifacts.find_by_digest(spec.artifact, url)
    if spec.build is None:
        raise InvalidRequest("A measurement names a build or an artifact.")
    artifact = artifacts.find_by_recipe(recipe_of(spec.build, url), url)
    if artifact is None:
        raise ArtifactMissing(
            f"The {spec.build.precision} build of {spec.build.export.model_id} no longer "
            f"exists; queue the run again."
        )
    return artifact


def newest_build(model: str, precision: str, url: str) -> Artifact:
    """The newest build of a model whose files exist. Raises ArtifactMissing."""
    statement = select(Artifact).where(
        Artifact.kind == ArtifactKind.BUILD,
        Artifact.model_id == model,
        Artifact.precision == precision,
    )
    with reading(url) as session:
        rows = session.scalars(statement.order_by(Artifact.created_at.desc())).all()
    for row in rows:
        if artifacts.folder_of(row.digest).is_dir():
            return row
    raise ArtifactMissing(
        f"There is no build {quoted(f'{model}:{precision}')}: name it as model:precision, such as "
        f"timm/seresnet50:int8; `artifacts list` shows all."
    )


def compiled_models() -> Path:
    """The folder in which runtimes keep compiled models; benchmarks never load from it."""
    return settings().folder("cache") / "compiled"


def file_for(runtime: str, artifact: Artifact, url: str) -> Path:
    """The file of a build that a runtime loads: its ONNX file, or the TorchScript of its export.

    Raises ArtifactMissing where there is no TorchScript of the same export, InvalidRequest where
    the build computes more than its export.
    """
    if runtime_of(runtime).file != artifacts.TORCHSCRIPT_FILE:
        return artifacts.model_path(artifact.digest)
    manifest = BuildManifest.from_artifact(artifact)
    if manifest.build.appended:
        raise InvalidRequest(
            f"This build of {artifact.model_id} has a softmax appended, which its TorchScript "
            f"does not have: run it in runtime {DEFAULT_RUNTIME}."
        )
    same = ("preprocess", "background", "weights_key", "classes")
    with reading(url) as session:
        exports = session.scalars(
            select(Artifact)
            .where(
                Artifact.format == "torchscript",
                Artifact.model_id == artifact.model_id,
                Artifact.weights_digest == artifact.weights_digest,
            )
            .order_by(Artifact.created_at.desc())
        ).all()
    for export in exports:
        path = artifacts.folder_of(export.digest) / artifacts.TORCHSCRIPT_FILE
        other = ExportManifest.from_artifact(export)
        if path.is_file() and all(getattr(other, n) == getattr(manifest, n) for n in same):
            return path
    raise ArtifactMissing(
        f"There is no TorchScript of this export of {artifact.model_id}: queue a run of the model "
        f"in runtime {runtime}, which exports it, or choose runtime {DEFAULT_RUNTIME}."
    )


def why_cannot_run(
    artifact: Artifact, runtime: str, url: str, device: str = CPU_PROVIDER
) -> str | None:
    """Why a runtime does not execute a build here, with the way out; None where it does.

    It executes the precision, has the operators of a foreign ONNX file, and finds its own file.
    """
    reason = why_not(runtime, artifact.precision, device)
    if reason is not None:
        return reason
    if runtime == DEFAULT_RUNTIME:
        return None
    if runtime_of(runtime).file == artifacts.TORCHSCRIPT_FILE:
        try:
            file_for(runtime, artifact, url)
        except WorkbenchError as error:
            return str(error)
        return None
    if find_model(artifact.model_id).source != "onnx":
        return None
    path = artifacts.folder_of(artifact.digest) / artifacts.MODEL_FILE
    return check_onnx_file(path, (runtime,)).lacking.get(runtime)


def recipe_of(spec: BuildSpec, url: str) -> str:
    """The recipe under which the artifact of `spec` is stored.

    The calibration dataset enters by its digest, because its name may refer to other images later.
    """
    images = spec.calibration or spec.range_check
    data = _images_digest(images.dataset, url) if images else None
    parts: dict[str, Any] = {"spec": spec.fingerprint(), "calibration": data}
    parts |= builder_of(spec.precision).recipe
    if spec.calibration is not None:
        generic, target = _without_target(spec, spec.calibration)
        parts |= {"spec": generic.fingerprint(), "target": target}
    return data_digest(parts)


def _images_digest(dataset: str, url: str) -> str:
    from engine.datasets.registration import find_dataset  # imports the image decoders

    return find_dataset(dataset, url).digest


def _without_target(spec: BuildSpec, calibration: CalibrationSpec) -> tuple[BuildSpec, TargetName]:
    """The spec without its target, and the resolved target.

    `auto` and the name of the target that it resolves to give the same build.
    """
    target = targets.resolve(calibration.target, instruction_sets()).name
    plain = calibration.model_copy(update={"target": TargetName.AUTO})
    return spec.model_copy(update={"calibration": plain}), target
