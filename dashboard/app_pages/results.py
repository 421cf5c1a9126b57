"""The table of results, what made each of them, and its export."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.demo import invitation
from dashboard.components.details.fp16 import show_half
from dashboard.components.details.layers import show_layers
from dashboard.components.details.profile import show_profile
from dashboard.components.details.provenance import show_provenance
from dashboard.components.results.exports import cut, exports
from dashboard.components.results.filters import MOST_ROWS, choose, clear
from dashboard.components.results.table import results_table
from dashboard.components.run_form.build_file import show_build_file_download
from dashboard.formats import escape_markdown, is_missing
from db.enums import WeightsKind


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
    show_profile(made.artifact)
    show_layers(made.artifact)
    show_half(made.artifact)
    show_build_file_download(made.artifact)


st.title("Results")
with st.skeleton(height=420):
    tables = queries.tables()
if tables.builds.empty:
    invitation()
else:
    shown = choose(tables)
    if shown.rows.empty:
        st.info(
            f"No result matches: {escape_markdown(shown.about)}", icon=":material/filter_alt_off:"
        )
        st.button("Clear the filters", on_click=clear)
    else:
        visible = cut(shown.rows, MOST_ROWS)
        selection = results_table(visible, shown.columns)
        exports(shown)
        chosen_row(visible, selection)
