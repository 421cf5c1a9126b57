"""The table of results, what made each of them, and its export."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.build_file import offer_build_file
from dashboard.components.demo import invitation
from dashboard.components.provenance import show_provenance
from dashboard.components.results_table import SETS, columns_of, results_table
from dashboard.formats import escape_markdown, is_missing, plural
from db.enums import Precision, WeightsKind
from engine.tables import to_csv, to_json, to_markdown

FILE_NAME = "senet-results"


def filtered(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that the filters (kept in the URL) leave."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Model contains",
            key="model",
            placeholder="any model",
            bind="query-params",
            width=260,
        )
        precisions = st.pills(
            "Precision",
            [str(precision) for precision in Precision],
            selection_mode="multi",
            default=[str(precision) for precision in Precision],
            key="precision",
            bind="query-params",
        )
        names = sorted({name for name in frame["dataset"] if isinstance(name, str)})
        dataset = st.selectbox(
            "Dataset", ["any", *names], key="dataset", bind="query-params", width=220
        )
        chosen_set = st.segmented_control(
            "Columns",
            list(SETS),
            default=next(iter(SETS)),
            required=True,
            key="columns",
            bind="query-params",
        )
    st.session_state["results_columns"] = columns_of(str(chosen_set))
    keep = frame["precision"].isin(precisions)
    if words:
        keep &= frame["model_id"].str.contains(words, case=False, regex=False)
    if dataset != "any":
        keep &= frame["dataset"] == dataset
    return frame[keep].reset_index(drop=True)


def clear_filters() -> None:
    """Back to the whole table."""
    st.session_state["model"] = ""
    st.session_state["precision"] = [str(precision) for precision in Precision]
    st.session_state["dataset"] = "any"


def exports(rows: pd.DataFrame) -> None:
    """The filtered rows, at full precision, with every column."""
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, suffix, mime, write in (
            ("CSV", "csv", "text/csv", to_csv),
            ("JSON", "json", "application/json", to_json),
            ("Markdown", "md", "text/markdown", to_markdown),
        ):
            st.download_button(
                label,
                data=partial(write, rows),
                file_name=f"{FILE_NAME}.{suffix}",
                mime=mime,
                key=f"export_{suffix}",
                icon=":material/download:",
                on_click="ignore",
            )
        st.caption(f"{plural(len(rows), 'row')}, all {rows.shape[1]} columns, full precision.")


def chosen_row(rows: pd.DataFrame, event: object) -> None:
    """Everything that made the chosen row."""
    places = event["selection"]["rows"] if event else []  # type: ignore[index]
    if not places or places[0] >= len(rows):
        st.caption("Choose a row to see what made it: artifact, weights, images, machine.")
        return
    row = rows.iloc[places[0]]
    st.subheader(f"What made {escape_markdown(row['model_id'])} {row['precision']}")
    if row["weights_kind"] == WeightsKind.RANDOM:
        st.warning("Random weights: fit to measure speed, never accuracy.")
    ids = [None if is_missing(row[c]) else int(row[c]) for c in ("evaluation_id", "benchmark_id")]
    made = queries.provenance(row["artifact_digest"], *ids)
    show_provenance(made)
    offer_build_file(made.artifact)


st.title("Results")
table = queries.results()
if table.empty:
    st.info("There are no results yet.", icon=":material/table_chart:")
    invitation()
else:
    visible = filtered(table)
    if visible.empty:
        st.info("No result matches the filters.", icon=":material/filter_alt_off:")
        st.button("Clear the filters", on_click=clear_filters)
    else:
        selection = results_table(visible, st.session_state["results_columns"])
        exports(visible)
        chosen_row(visible, selection)
