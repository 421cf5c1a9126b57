"""Which builds can be drawn again, and with which calibration."""

from __future__ import annotations

from db.models import Artifact, Dataset
from engine.errors import InvalidRequest
from engine.specs import CalibrationSpec
from engine.store.manifest import BuildManifest


def calibration_of(artifact: Artifact, seed: int) -> CalibrationSpec:
    """The calibration of a build with another seed, without an accuracy constraint.

    Raises InvalidRequest for a build that was not calibrated here.
    """
    build = BuildManifest.from_artifact(artifact).build
    if build.calibration is None or artifact.parent_digest is None:
        raise InvalidRequest(
            f"Artifact {artifact.digest[:12]} ({artifact.precision}) was not calibrated here: "
            f"choose an int8 build (`artifacts list` shows all)."
        )
    stored = build.calibration.dump()
    known = {name: stored[name] for name in CalibrationSpec.model_fields if name in stored}
    return CalibrationSpec.model_validate({**known, "seed": seed, "max_drop": None})


def require_draws(artifact: Artifact, dataset: Dataset) -> None:
    """Raises InvalidRequest where every draw is the same, as a build uses the whole dataset."""
    images = calibration_of(artifact, 0).images
    if images >= dataset.num_images:
        raise InvalidRequest(
            f"This build is calibrated on all {dataset.num_images:,} images of {dataset.name}, so "
            f"every draw is the same: build int8 with fewer calibration images, or from a larger "
            f"dataset."
        )
