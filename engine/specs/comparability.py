"""What two measurements must share to be compared: the keys, for rows and for frames alike.

Each key is a tuple of names: columns of the results table, and attributes of the stored rows.
"""

from __future__ import annotations

SAME_MODEL = ("model_id", "weights_digest", "origin")
"""Two builds are of one model: its weights, and where they were measured."""

SAME_IMAGES = ("dataset_digest", "images", "images_digest", "label_set")
"""Two evaluations are of the same images, scored by the same labels."""

SAME_EVALUATION = (*SAME_IMAGES, "preprocess")
"""The same images, prepared the same way: what one build's newest evaluation is known by."""

SAME_CONDITIONS = (
    "environment_digest",
    "runtime",
    "provider",
    "batch",
    "threads",
    "instances",
    "processes",
    "scenario",
)
"""Two benchmarks are of the same machine, runtime, configuration and scenario."""

SAME_SETTING = tuple(name for name in SAME_CONDITIONS if name != "runtime")
"""The same conditions but for the runtime, which may be compared too."""

SWEPT = ("batch", "instances", "threads")
"""Of the conditions, those that a sweep varies."""
