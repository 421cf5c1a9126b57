"""Notes on each result that limit its comparison with others, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from engine.results.builds import MEASURED_HERE
from engine.store.manifest import EMULATED
from engine.text import is_missing


def with_notes(frame: pd.DataFrame, outdated: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Adds `notes` to rows of the results table.

    `outdated`: by machine digest, which library version differs from the installed one.
    """
    rows = frame[_NOTE_COLUMNS].to_dict("records")
    notes = [_note(row, (outdated or {}).get(row["environment_digest"])) for row in rows]
    return frame.assign(notes=notes)


_NOTE_COLUMNS = [
    "at_chance", "seen_images", "weights_kind", "execution", "not_faster", "stable",
    "machine_state", "noise",
    "verdict",
    "elsewhere", "environment_digest", "images", "images_planned", "images_in_dataset", "origin",
]  # fmt: skip


def _note(row: dict[str, Any], version: str | None) -> str:
    notes = []
    if row["origin"] != MEASURED_HERE:
        notes.append("imported")
    partial = row["images"] < row["images_planned"]  # False if a figure is missing
    if partial:
        notes.append(f"partial: {row['images']:,.0f} of {row['images_planned']:,.0f} images")
    if row["at_chance"] == 1:
        notes.append("collapsed")
    if not is_missing(row["seen_images"]) and row["seen_images"] > 0:
        notes.append(f"{row['seen_images']:,.0f} images overlap with calibration")
    if row["weights_kind"] == "random":
        notes.append("random weights")
    if row["execution"] == EMULATED:
        notes.append("emulated")
    if not is_missing(row["not_faster"]):
        notes.append(str(row["not_faster"]))
    if row["stable"] == 0:
        notes.append("unstable speed")
    if not is_missing(row["machine_state"]):
        notes.append(str(row["machine_state"]))
    if not is_missing(row["noise"]):
        notes.append(f"interference: {row['noise'].partition(' (')[0]}")
    notes += [str(row[name]) for name in ("verdict", "elsewhere") if not is_missing(row[name])]
    if not partial and row["images"] < row["images_in_dataset"]:
        notes.append(f"{row['images']:,.0f} of {row['images_in_dataset']:,.0f} images")
    if version:
        notes.append(version)
    return ", ".join(notes)


def is_unreliable(rows: pd.DataFrame) -> list[bool]:
    """Whether each speed is unstable, had interference, or failed its scenario's condition."""
    facts = zip(rows["noise"], rows["stable"], rows["valid"], strict=True)
    return [
        isinstance(interference, str) or stable == 0 or valid == 0
        for interference, stable, valid in facts
    ]


def unreliable_speeds_summary(rows: pd.DataFrame) -> str | None:
    """Number of unreliable speeds with the reasons: `1 unstable (...), 2 with interference (...)`.

    None if all speeds are reliable.
    """
    measured = rows.drop_duplicates("benchmark_id")
    reasons = {
        "unstable (the interval between rounds is wide)": int((measured["stable"] == 0).sum()),
        _interference(measured["noise"]): int(measured["noise"].notna().sum()),
    }
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count) or None


def _interference(reasons: pd.Series) -> str:
    """`with interference`, and the reason if it is the same for all."""
    unique = reasons.dropna().unique()
    reason = unique[0] if len(unique) == 1 else "reasons: see Results"
    return f"with interference ({reason})"
