"""The names of a model's classes."""

from __future__ import annotations

from db.models import Artifact
from engine.datasets import imagenet
from engine.store.manifest import ExportManifest


def class_names_of(artifact: Artifact) -> tuple[str, ...]:
    """Class names of a model by index: the demo's, ImageNet's for 1,000 classes, else numbers."""
    classes = ExportManifest.from_artifact(artifact).class_outputs
    if artifact.model_id.startswith("demo/"):
        from engine.demo.images import CLASS_NAMES

        return tuple(CLASS_NAMES)
    if classes == len(imagenet.class_names()):
        return imagenet.class_names()
    return tuple(f"class {index}" for index in range(classes))
