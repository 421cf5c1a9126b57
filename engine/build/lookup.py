"""Lookup of the artifact that a measurement refers to, by recipe or by digest."""

from __future__ import annotations

from typing import Any

from db.models import Artifact
from engine.build.builders import builder_of
from engine.build.int8 import targets
from engine.catalog.models import find_model
from engine.common.digests import data_digest
from engine.common.environment import instruction_sets
from engine.errors import ArtifactMissing, InvalidRequest
from engine.preprocess import PreprocessSpec
from engine.specs import (
    BenchmarkSpec,
    BuildSpec,
    CalibrationSpec,
    EvaluateSpec,
    ProfileSpec,
    TargetName,
)
from engine.store import artifacts


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
