"""From what a measurement names (a recipe or a digest) to the artifact itself."""

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
            f"{model.id} is no row of the catalog and has no published protocol; leave the "
            f"protocol out to prepare images as its export says."
        )
    return model.preprocess


def artifact_of(spec: BenchmarkSpec | EvaluateSpec | ProfileSpec, url: str) -> Artifact:
    """The artifact to measure. Raises ArtifactMissing, with the way out, if it is not there."""
    if spec.artifact is not None:
        return artifacts.find_by_digest(spec.artifact, url)
    if spec.build is None:
        raise InvalidRequest("A measurement names a build or an artifact.")
    found = artifacts.find_by_recipe(recipe_of(spec.build, url), url)
    if found is None:
        raise ArtifactMissing(
            f"The {spec.build.precision} build of {spec.build.export.model_id} is gone; queue the "
            f"run again."
        )
    return found


def recipe_of(spec: BuildSpec, url: str) -> str:
    """The recipe under which the artifact of `spec` is stored.

    A dataset's name may come to mean other images, and ranges belong to the images: the
    set that ranges are taken from counts by its digest.
    """
    images = spec.calibration or spec.range_check
    data = _images_digest(images.dataset, url) if images else None
    made: dict[str, Any] = {"spec": spec.fingerprint(), "calibration": data}
    made |= builder_of(spec.precision).recipe
    if spec.calibration is not None:
        named, target = _without_target(spec, spec.calibration)
        made |= {"spec": named.fingerprint(), "target": target}
    return data_digest(made)


def _images_digest(dataset: str, url: str) -> str:
    from engine.datasets.registration import find_dataset  # brings the decoders of images with it

    return find_dataset(dataset, url).digest


def _without_target(spec: BuildSpec, asked: CalibrationSpec) -> tuple[BuildSpec, TargetName]:
    """The spec without its target, and the target it comes to on this machine.

    What `auto` chooses here and what is asked for by name is one build.
    """
    target = targets.resolve(asked.target, instruction_sets()).name
    plain = asked.model_copy(update={"target": TargetName.AUTO})
    return spec.model_copy(update={"calibration": plain}), target
