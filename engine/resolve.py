"""From what a measurement names (a recipe or a digest) to the artifact itself."""

from __future__ import annotations

from db.tables import Artifact
from engine import artifacts
from engine.build import recipe_of
from engine.catalog import find_model
from engine.errors import ArtifactMissing, InvalidRequest
from engine.preprocess import PreprocessSpec
from engine.specs import BenchmarkSpec, EvaluateSpec, ProfileSpec


def published_of(digest: str, url: str) -> PreprocessSpec:
    """The protocol of an artifact's published figures; InvalidRequest for models without any."""
    model = find_model(artifacts.find_by_digest(digest, url).model_id)
    if model.preprocess is None:
        raise InvalidRequest(
            f"{model.id} is no row of the catalogue and has no published protocol; leave the "
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
