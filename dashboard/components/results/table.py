"""The results table: units in the headers, a dash for a missing figure."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components.common.theme import current_palette
from engine.results.columns import COLUMNS, COUNT, TIMESTAMP, Column
from engine.specs.precisions import precision_names

NOTES = "notes"
ROW_HEIGHT, MAX_HEIGHT, BAR_WIDTH, MODEL_WIDTH = 36, 580, 150, 190
# Columns drawn as bars, with the maximum of the bar; None: the largest shown value. A bar column
# shows missing values as blank cells, so a column with missing values shows numbers and dashes.
_BARS = {"top1": 100.0, "images_per_s": None, "peak_share": 100.0}


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
        height=min(MAX_HEIGHT, ROW_HEIGHT * (len(frame) + 1) + 4),
        row_height=ROW_HEIGHT,
        placeholder="–",
        alt="Results: one row per build with its evaluation and its benchmark",
    )


def _column(name: str, frame: pd.DataFrame) -> Any:
    column = COLUMNS[name]
    if name in _BARS and frame[name].notna().all():
        top = _BARS[name] or float(frame[name].max(skipna=True) or 1)
        return st.column_config.ProgressColumn(
            column.header,
            format=_printf(column),
            width=BAR_WIDTH,
            min_value=0.0,
            max_value=top if top == top else 1.0,
            help=column.help,
        )
    if name == "model_id":
        return st.column_config.TextColumn(column.header, pinned=True, width=MODEL_WIDTH)
    if name == "precision":
        colors = list(current_palette().precisions.values())
        return st.column_config.MultiselectColumn(
            column.header, options=precision_names(), color=colors
        )
    return table_column(column)


def table_column(column: Column) -> Any:
    """Streamlit configuration of a results column: header, digits, help."""
    if column.format_spec == TIMESTAMP:
        return st.column_config.DatetimeColumn(column.title, format="distance", help=column.help)
    if column.is_number:
        return st.column_config.NumberColumn(
            column.header, format=_printf(column), help=column.help
        )
    return st.column_config.Column(column.header, help=column.help)


def _printf(column: Column) -> str:
    """The number format of a column in Streamlit's notation."""
    return (
        "localized" if column.format_spec == COUNT else f"%{column.format_spec.removeprefix(',')}"
    )
