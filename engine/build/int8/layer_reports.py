"""Reads the layer report of an int8 build, which is stored next to the model."""

from __future__ import annotations

from engine.common.untrusted import read_json
from engine.errors import ArtifactMissing
from engine.store.artifacts import REPORT_FILE, folder_of
from engine.store.int8_report import Int8Report, LayerReport


def load_layer_report(digest: str) -> Int8Report | None:
    """The layer report of an artifact; None where it has none.

    Raises ArtifactMissing where the file is damaged.
    """
    path = folder_of(digest) / REPORT_FILE
    if not path.is_file():
        return None
    description = f"{REPORT_FILE} of artifact {digest[:12]}"
    return Int8Report.read(read_json(path, ArtifactMissing), description, ArtifactMissing)


def most_sensitive_layers(layers: list[LayerReport], count: int) -> list[LayerReport]:
    """The `count` layers with the lowest SQNR, ascending; layers in float are last.

    The SQNR is that of the logits where it was measured, else that of the output or the weights.
    """

    def sqnr_db(layer: LayerReport) -> float:
        if layer.precision == "float":
            return float("inf")
        measured = (layer.effect_db, layer.output_sqnr_db, layer.weights_sqnr_db)
        return next((value for value in measured if value is not None), float("inf"))

    return sorted(layers, key=sqnr_db)[:count]
