"""What the Results page shows: rows, columns and their order, all of it in the URL."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import queries
from engine.results import ResultTables
from engine.results.columns import IDENTITY, SETS, choosable_columns, columns_of, header_of
from engine.results.groups import Group, accuracy_groups, speed_groups
from engine.results.notes import with_notes
from engine.specs.precisions import precision_names

ANY = "any"
OWN = "Own choice"
MOST_ROWS = 2000
NEWEST = "measured_at"


@dataclass(frozen=True, slots=True)
class Shown:
    """The rows that match (with `notes`), the columns, and what was chosen, in words."""

    rows: pd.DataFrame
    columns: list[str]
    about: str


def choose(tables: ResultTables) -> Shown:
    """Draws the filters and returns what they leave."""
    crowded = _product(tables) > MOST_ROWS
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            words = st.text_input(
                "Model contains",
                key="model",
                placeholder="any model",
                bind="query-params",
                width=220,
            )
            names = precision_names()
            precisions = st.pills(
                "Precision",
                names,
                selection_mode="multi",
                default=names,
                key="precision",
                bind="query-params",
            )
            accuracy = _group(
                "Accuracy on", accuracy_groups(tables.evaluations), "dataset", crowded
            )
            speed = _group("Speed at", speed_groups(tables.benchmarks), "speed", crowded)
        columns, order, rising = _columns_and_order()
    frame = queries.results(accuracy, speed)
    keep = frame["precision"].isin(precisions)
    if words:
        keep &= frame["model_id"].str.contains(words, case=False, regex=False)
    if accuracy or speed:
        keep &= frame["evaluation_id"].notna() | frame["benchmark_id"].notna()
    rows = frame[keep].sort_values(order, ascending=rising, kind="stable", na_position="last")
    rows = with_notes(rows.reset_index(drop=True), queries.outdated())
    about = _in_words(words, precisions, accuracy, speed, order, rising)
    return Shown(rows, columns, about)


def _product(tables: ResultTables) -> int:
    """How many rows the table has without any filter, at least."""
    evaluations = tables.evaluations["artifact_digest"].value_counts()
    benchmarks = tables.benchmarks["artifact_digest"].value_counts()
    return int(evaluations.mul(benchmarks, fill_value=1).sum())


def _group(label: str, groups: list[Group], key: str, crowded: bool) -> Group | None:
    """One group, or None for any; in a crowded table the most used one is proposed."""
    by_label = {group.label: group for group in groups}
    chosen = st.selectbox(
        label,
        [ANY, *by_label],
        index=1 if crowded and by_label else 0,
        key=key,
        bind="query-params",
        width=250,
    )
    return by_label.get(str(chosen))


def _columns_and_order() -> tuple[list[str], str, bool]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.segmented_control(
            "Columns",
            [*SETS, OWN],
            default=next(iter(SETS)),
            required=True,
            key="columns",
            bind="query-params",
        )
        order = st.selectbox(
            "Sorted by",
            [NEWEST, *(column for column in choosable_columns() if column != NEWEST), *IDENTITY],
            format_func=header_of,
            key="sort",
            bind="query-params",
            width=200,
        )
        rising = st.toggle("Lowest first", key="rising", bind="query-params")
    columns = columns_of(str(name))
    if name == OWN:
        own = st.multiselect(
            "Columns to show",
            choosable_columns(),
            default=SETS["Summary"],
            format_func=header_of,
            key="own_columns",
            bind="query-params",
        )
        columns = [*IDENTITY, *own]
    return columns, str(order), bool(rising)


def _in_words(
    words: str | None,
    precisions: list[str],
    accuracy: Group | None,
    speed: Group | None,
    order: str,
    rising: bool,
) -> str:
    parts = [f"models containing {words!r}"] if words else ["all models"]
    parts.append(", ".join(precisions))
    parts.append(f"accuracy on {accuracy.label if accuracy else 'any images'}")
    parts.append(f"speed at {speed.label if speed else 'any setting'}")
    parts.append(f"sorted by {header_of(order)}, {'lowest' if rising else 'highest'} first")
    return "; ".join(parts) + "."


def clear() -> None:
    """Back to the whole table."""
    st.session_state["model"] = ""
    st.session_state["precision"] = precision_names()
    st.session_state["dataset"] = ANY
    st.session_state["speed"] = ANY
