"""What int8 builds say of their layers: kept beside the model, read by terminal and pages."""

from __future__ import annotations

from engine.common.untrusted import read_json
from engine.errors import ArtifactMissing
from engine.store.artifacts import REPORT_FILE, folder_of
from engine.store.int8_report import Int8Report, LayerReport


def layer_report(digest: str) -> Int8Report | None:
    """What an int8 build says of each of its layers; None where it says nothing.

    ArtifactMissing, in a sentence, where the file is damaged.
    """
    path = folder_of(digest) / REPORT_FILE
    if not path.is_file():
        return None
    what = f"{REPORT_FILE} of artifact {digest[:12]}"
    return Int8Report.read(read_json(path, ArtifactMissing), what, ArtifactMissing)


def worst(layers: list[LayerReport], most: int) -> list[LayerReport]:
    """The layers whose rounding disturbs the scores most; by their own noise where that is unknown.

    Layers in float disturb nothing and come last.
    """

    def signal(layer: LayerReport) -> float:
        if layer.precision == "float":
            return float("inf")
        known = (layer.effect_db, layer.output_sqnr_db, layer.weights_sqnr_db)
        return next((value for value in known if value is not None), float("inf"))

    return sorted(layers, key=signal)[:most]
