"""The results as a table: units in the headers, dashes where nothing was measured."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components.common.theme import current_palette
from engine.results.columns import COLUMNS, COUNT, TIME, Column
from engine.specs.precisions import precision_names

NOTES = "notes"
ROW_HEIGHT, MOST_HEIGHT, BAR_WIDTH, MODEL_WIDTH = 36, 580, 150, 190
# Drawn as a bar up to this value; None: up to the largest that is shown. A bar leaves the cell of
# what is missing blank, so a column in which something is missing shows numbers and dashes.
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
        height=min(MOST_HEIGHT, ROW_HEIGHT * (len(frame) + 1) + 4),
        row_height=ROW_HEIGHT,
        placeholder="–",
        alt="Results: one row a build with its evaluation and its benchmark",
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
    """How a table shows a column of results: its header, its digits, its help."""
    if column.form == TIME:
        return st.column_config.DatetimeColumn(column.title, format="distance", help=column.help)
    if column.number:
        return st.column_config.NumberColumn(
            column.header, format=_printf(column), help=column.help
        )
    return st.column_config.Column(column.header, help=column.help)


def _printf(column: Column) -> str:
    """The column's digits as Streamlit takes them."""
    return "localized" if column.form == COUNT else f"%{column.form.removeprefix(',')}"
