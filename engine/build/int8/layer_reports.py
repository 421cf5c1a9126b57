"""What int8 builds say of their layers: kept beside the model, read by terminal and pages."""

from __future__ import annotations

import json
from typing import Any

from engine.store.artifacts import REPORT_FILE, folder_of


def layer_report(digest: str) -> dict[str, Any] | None:
    """What an int8 build says of each of its layers; None where it says nothing.

    Written by engine.build.int8.report: `macs_in_int8`, `changed_classes`, and `layers`.
    """
    path = folder_of(digest) / REPORT_FILE
    if not path.is_file():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def worst(layers: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The layers whose rounding disturbs the scores most; by their own noise where that is unknown.

    Layers in float disturb nothing and come last.
    """

    def signal(layer: dict[str, Any]) -> float:
        if layer["precision"] == "float":
            return float("inf")
        known = (layer["effect_db"], layer["output_sqnr_db"], layer["weights_sqnr_db"])
        return next((value for value in known if value is not None), float("inf"))

    return sorted(layers, key=signal)[:most]
