"""What two measurements must have in common to be compared.

Each key is a tuple of names: columns of the results table, and attributes of the stored rows.
"""

from __future__ import annotations

SAME_MODEL = ("model_id", "weights_digest", "origin")
"""Two builds are of the same model: its id, its weights, and where they were measured."""

SAME_IMAGES = ("dataset_digest", "images", "images_digest", "label_set")
"""Two evaluations used the same images, scored with the same labels."""

SAME_EVALUATION = (*SAME_IMAGES, "preprocess")
"""The same images with the same preprocessing; a build's newest evaluation is found by it."""

SAME_CONDITIONS = (
    "environment_digest",
    "provider",
    "batch",
    "threads",
    "instances",
    "processes",
    "scenario",
)
"""Two benchmarks ran on the same machine, with the same configuration and scenario."""

SWEPT = ("batch", "instances", "threads")
"""The conditions that a sweep varies."""
