"""The results as a table: units in the headers, dashes where nothing was measured."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components.common.theme import current_palette
from dashboard.formats import is_missing
from db.enums import Precision
from engine.results import COLUMNS, MEASURED_HERE

IDENTITY = ["model_id", "precision"]
NOTES = "notes"
ROW_HEIGHT, MOST_HEIGHT, BAR_WIDTH, MODEL_WIDTH = 36, 580, 150, 190
SETS = {
    "Summary": [
        "top1",
        "top1_low",
        "top1_high",
        "images_per_s",
        "latency_p50_ms",
        "size_mb",
        "compute_gmacs",
        "images",
        "dataset",
        "batch",
        "instances",
        "threads",
        "notes",
        "measured_at",
    ],
    "Accuracy": [
        "top1",
        "top1_low",
        "top1_high",
        "top5",
        "images",
        "dataset",
        "notes",
        "calibration",
        "target",
        "preprocess",
    ],
    "Speed": [
        "images_per_s",
        "images_per_s_low",
        "images_per_s_high",
        "scenario",
        "stable",
        "noise",
        "other_busy_cores",
        "latency_p50_ms",
        "latency_p90_ms",
        "latency_p99_ms",
        "batch",
        "threads",
        "instances",
        "load_ms",
        "first_inference_ms",
        "peak_rss_mb",
        "achieved_gmacs_per_s",
        "peak_share",
        "execution",
        "environment",
    ],
}
_FORMATS = {
    "top1": "%.2f",
    "top1_low": "%.2f",
    "top1_high": "%.2f",
    "top5": "%.2f",
    "images": "localized",
    "images_in_dataset": "localized",
    "seen_images": "localized",
    "images_per_s": "%.1f",
    "images_per_s_low": "%.1f",
    "images_per_s_high": "%.1f",
    "latency_p50_ms": "%.2f",
    "latency_p90_ms": "%.2f",
    "latency_p99_ms": "%.2f",
    "batch": "%d",
    "threads": "%d",
    "instances": "%d",
    "load_ms": "%.0f",
    "first_inference_ms": "%.1f",
    "peak_rss_mb": "%.0f",
    "achieved_gmacs_per_s": "%.1f",
    "peak_share": "%.1f",
    "peak_gmacs_per_s": "%.1f",
    "other_busy_cores": "%.2f",
    "compute_gmacs": "%.4g",
    "size_mb": "%.2f",
}
# Drawn as a bar up to this value; None: up to the largest that is shown. A bar leaves the cell of
# what is missing blank, so a column in which something is missing shows numbers and dashes.
_BARS = {"top1": 100.0, "images_per_s": None, "peak_share": 100.0}
_WHY_MISSING = {
    "top1": "A dash: this build was not evaluated.",
    "images_per_s": "A dash: this build was not benchmarked.",
    "peak_share": "Of what the machine can do at most in this precision, with as many threads. "
    "A dash: the peak is not measured (page System), or another provider ran.",
    "latency_p99_ms": "A dash: under 100 requests, where it would be the maximum.",
}


def columns_of(name: str) -> list[str]:
    """The columns of a set, identity first; the first set for an unknown name."""
    return [*IDENTITY, *SETS.get(name, next(iter(SETS.values())))]


def all_columns() -> list[str]:
    """Everything that can be shown, notes after the accuracy."""
    names = [name for name in COLUMNS if name not in IDENTITY]
    return [*names[:4], NOTES, *names[4:]]


def title_of(name: str) -> str:
    """A column as its header calls it."""
    return COLUMNS.get(name, name)


def with_notes(frame: pd.DataFrame, outdated: dict[str, str] | None = None) -> pd.DataFrame:
    """Adds `notes`: what a reader must know before comparing this row.

    `outdated` says of a machine's digest which of its versions is not the one installed now.
    """
    told = frame[_TOLD].to_dict("records")
    notes = [_note(row, (outdated or {}).get(row["environment_digest"])) for row in told]
    return frame.assign(notes=notes)


_TOLD = [
    "at_chance",
    "seen_images",
    "weights_kind",
    "execution",
    "stable",
    "noise",
    "verdict",
    "elsewhere",
    "environment_digest",
    "images",
    "images_planned",
    "images_in_dataset",
    "origin",
]


def _note(row: dict[str, Any], version: str | None) -> str:
    notes = []
    if row["origin"] != MEASURED_HERE:
        notes.append("imported")
    partial = row["images"] < row["images_planned"]  # of a missing figure: no
    if partial:
        notes.append(f"partial: {row['images']:,.0f} of {row['images_planned']:,.0f} images")
    if row["at_chance"] is True or row["at_chance"] == 1:
        notes.append("collapsed")
    if not is_missing(row["seen_images"]) and row["seen_images"] > 0:
        notes.append(f"{row['seen_images']:,.0f} images also calibrated on")
    if row["weights_kind"] == "random":
        notes.append("random weights")
    if "emulated" in str(row["execution"]):
        notes.append("emulated")
    if row["stable"] is False or row["stable"] == 0:
        notes.append("unstable speed")
    if not is_missing(row["noise"]):
        notes.append(f"noisy: {row['noise'].partition(' (')[0]}")
    notes += [str(row[name]) for name in ("verdict", "elsewhere") if not is_missing(row[name])]
    if not partial and row["images"] < row["images_in_dataset"]:
        notes.append(f"{row['images']:,.0f} of {row['images_in_dataset']:,.0f} images")
    if version:
        notes.append(version)
    return ", ".join(notes)


def results_table(frame: pd.DataFrame, columns: list[str]) -> Any:
    """Draws the table (`frame` as from `with_notes`); returns its selection (one row)."""
    shown = frame[columns].assign(precision=[[precision] for precision in frame["precision"]])
    if NOTES in shown:
        shown[NOTES] = shown[NOTES].replace("", None)
    configured = {name: _column(name, frame) for name in columns}
    return st.dataframe(
        shown,
        key="results_table",
        column_config=configured,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=min(MOST_HEIGHT, ROW_HEIGHT * (len(frame) + 1) + 4),
        row_height=ROW_HEIGHT,
        placeholder="–",
        alt="Results: one row a build with its evaluation and its benchmark",
    )


def _column(name: str, frame: pd.DataFrame) -> Any:
    label = title_of(name)
    if name in _BARS and frame[name].notna().all():
        top = _BARS[name] or float(frame[name].max(skipna=True) or 1)
        return st.column_config.ProgressColumn(
            label,
            format=_FORMATS[name],
            width=BAR_WIDTH,
            min_value=0.0,
            max_value=top if top == top else 1.0,
            help=_WHY_MISSING.get(name),
        )
    if name == "model_id":
        return st.column_config.TextColumn(label, pinned=True, width=MODEL_WIDTH)
    if name == "precision":
        colors = [current_palette().precisions[precision] for precision in Precision]
        return st.column_config.MultiselectColumn(
            label, options=[str(precision) for precision in Precision], color=colors
        )
    if name == "measured_at":
        return st.column_config.DatetimeColumn("measured", format="distance")
    if name in _FORMATS:
        return st.column_config.NumberColumn(
            label, format=_FORMATS[name], help=_WHY_MISSING.get(name)
        )
    return st.column_config.Column(label)
