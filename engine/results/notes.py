"""What a reader must know before comparing a result: in a few words a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from engine.results.builds import MEASURED_HERE
from engine.store.manifest import EMULATED
from engine.text import is_missing


def with_notes(frame: pd.DataFrame, outdated: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Adds `notes` to rows of the results table.

    `outdated` says of a machine's digest which of its versions is not the one installed now.
    """
    told = frame[_TOLD].to_dict("records")
    notes = [_note(row, (outdated or {}).get(row["environment_digest"])) for row in told]
    return frame.assign(notes=notes)


_TOLD = [
    "at_chance", "seen_images", "weights_kind", "execution", "stable", "noise", "verdict",
    "elsewhere", "environment_digest", "images", "images_planned", "images_in_dataset", "origin",
]  # fmt: skip


def _note(row: dict[str, Any], version: str | None) -> str:
    notes = []
    if row["origin"] != MEASURED_HERE:
        notes.append("imported")
    partial = row["images"] < row["images_planned"]  # of a missing figure: no
    if partial:
        notes.append(f"partial: {row['images']:,.0f} of {row['images_planned']:,.0f} images")
    if row["at_chance"] == 1:
        notes.append("collapsed")
    if not is_missing(row["seen_images"]) and row["seen_images"] > 0:
        notes.append(f"{row['seen_images']:,.0f} images also calibrated on")
    if row["weights_kind"] == "random":
        notes.append("random weights")
    if row["execution"] == EMULATED:
        notes.append("emulated")
    if row["stable"] == 0:
        notes.append("unstable speed")
    if not is_missing(row["noise"]):
        notes.append(f"noisy: {row['noise'].partition(' (')[0]}")
    notes += [str(row[name]) for name in ("verdict", "elsewhere") if not is_missing(row[name])]
    if not partial and row["images"] < row["images_in_dataset"]:
        notes.append(f"{row['images']:,.0f} of {row['images_in_dataset']:,.0f} images")
    if version:
        notes.append(version)
    return ", ".join(notes)


def unreliable(rows: pd.DataFrame) -> list[bool]:
    """Whether each speed is noisy, did not become stable, or did not keep its scenario's limit."""
    told = zip(rows["noise"], rows["stable"], rows["valid"], strict=True)
    return [isinstance(noise, str) or stable == 0 or held == 0 for noise, stable, held in told]


def of_speeds(rows: pd.DataFrame) -> str | None:
    """How many speeds are unreliable, and why: `1 unstable (...), 2 noisy (...)`; None: none is."""
    measured = rows.drop_duplicates("benchmark_id")
    reasons = {
        "unstable (the windows did not agree)": int((measured["stable"] == 0).sum()),
        _noisy(measured["noise"]): int(measured["noise"].notna().sum()),
    }
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count) or None


def _noisy(reasons: pd.Series) -> str:
    """`noisy`, with the reason where all share one."""
    told = reasons.dropna().unique()
    return f"noisy ({told[0]})" if len(told) == 1 else "noisy (Results tells why)"
