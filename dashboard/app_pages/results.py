"""Results: the table of results, the provenance of each, and the export."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.demo import invitation
from dashboard.components.common.links import copy_link, show_link_notes
from dashboard.components.common.package import package_popover
from dashboard.components.common.purpose import page_purpose
from dashboard.components.details.calibration_draws import show_calibration_draws
from dashboard.components.details.fp16 import show_fp16
from dashboard.components.details.layer_errors import show_layer_errors
from dashboard.components.details.layers import show_layers
from dashboard.components.details.profile import show_profile
from dashboard.components.details.provenance import show_provenance
from dashboard.components.results.actions import row_actions
from dashboard.components.results.exports import export_buttons, limit_rows
from dashboard.components.results.filters import MAX_ROWS, choose, clear_filters
from dashboard.components.results.table import results_table
from dashboard.components.run_form.build_file import show_build_file_download
from dashboard.formats import escape_markdown, is_missing
from db.enums import WeightsKind
from engine.runtimes.registry import name_in


def selected_row(rows: pd.DataFrame, event: object) -> None:
    """The provenance and the details of the selected row."""
    positions = event["selection"]["rows"] if event else []  # type: ignore[index]
    if not positions or positions[0] >= len(rows):
        st.caption(
            "Select a row for its provenance (artifact, weights, images, machine), its package and "
            "build file, and to tag it, note something, hide or delete it."
        )
        return
    row = rows.iloc[positions[0]]
    st.subheader(f"Provenance of {escape_markdown(row['model_id'])} {row['precision']}")
    if row["weights_kind"] == WeightsKind.RANDOM:
        st.warning("Random weights: valid for speed only, never for accuracy.")
    ids = [None if is_missing(row[c]) else int(row[c]) for c in ("evaluation_id", "benchmark_id")]
    provenance = queries.provenance(row["artifact_digest"], *ids)
    with st.container(horizontal=True, vertical_alignment="center"):
        if provenance.artifact is not None:
            runtime = None if is_missing(row["runtime"]) else name_in(str(row["runtime"]))
            package_popover(provenance.artifact, "row", runtime)
        row_actions(row.to_dict())
    show_provenance(provenance)
    show_profile(provenance.artifact)
    show_layers(provenance.artifact)
    show_layer_errors(provenance.artifact)
    show_calibration_draws(provenance.artifact)
    show_fp16(provenance.artifact)
    show_build_file_download(provenance.artifact)


BOUND = (
    *("model", "precision", "runtime", "dataset", "speed", "columns", "sort", "rising"),
    *("own_columns", "tag", "hidden"),
)
"""The widgets whose values a copied link pins."""

with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    st.title("Results", width="content")
    copy_link(BOUND)
page_purpose("Results")
with st.skeleton(height=420):
    tables = queries.tables(hidden=True)
if tables.builds.empty:
    invitation()
else:
    shown = choose(tables)
    show_link_notes({key: st.session_state.get(key) for key in BOUND})
    if shown.rows.empty:
        st.info(
            f"No result matches: {escape_markdown(shown.about)}", icon=":material/filter_alt_off:"
        )
        st.button("Clear filters", on_click=clear_filters)
    else:
        visible = limit_rows(shown.rows, MAX_ROWS)
        selection = results_table(visible, shown.columns)
        export_buttons(shown)
        selected_row(visible, selection)
