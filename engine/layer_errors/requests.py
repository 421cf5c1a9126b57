"""Which builds have layer errors, and on which images they are measured by default."""

from __future__ import annotations

from db.models import Artifact, Dataset
from engine.datasets.registration import find_dataset
from engine.errors import InvalidRequest
from engine.specs.precisions import Precision, file_precision
from engine.store.manifest import BuildManifest


def has_integer_layers(artifact: Artifact) -> bool:
    """Whether a build was quantized here, or comes from a file that was."""
    quantized = BuildManifest.from_artifact(artifact).quantized is not None
    return file_precision(artifact.precision) == Precision.INT8 or quantized


def require_int8(artifact: Artifact) -> None:
    """Raises InvalidRequest for a build without integer layers."""
    if not has_integer_layers(artifact):
        raise InvalidRequest(
            f"Artifact {artifact.digest[:12]} is a {artifact.precision} {artifact.kind}, which has "
            f"no quantized layers: choose an int8 build (`artifacts list` shows all)."
        )


def calibration_dataset(artifact: Artifact, url: str) -> Dataset:
    """The dataset that a build was calibrated on; raises DatasetInvalid where it is not here."""
    facts = BuildManifest.from_artifact(artifact).build.calibration
    if facts is None:
        raise InvalidRequest(
            f"Artifact {artifact.digest[:12]} names no calibration dataset: choose one (--dataset)."
        )
    return find_dataset(facts.dataset, url)
