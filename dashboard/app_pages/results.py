"""Results: the table of results, the provenance of each, and the export."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.demo import invitation
from dashboard.components.common.package import package_popover
from dashboard.components.common.purpose import page_title
from dashboard.components.details.fp16 import show_fp16
from dashboard.components.details.layers import show_layers
from dashboard.components.details.profile import show_profile
from dashboard.components.details.provenance import show_provenance
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
        st.caption("Select a row to see its provenance: artifact, weights, images, machine.")
        return
    row = rows.iloc[positions[0]]
    st.subheader(f"Provenance of {escape_markdown(row['model_id'])} {row['precision']}")
    if row["weights_kind"] == WeightsKind.RANDOM:
        st.warning("Random weights: valid for speed only, never for accuracy.")
    ids = [None if is_missing(row[c]) else int(row[c]) for c in ("evaluation_id", "benchmark_id")]
    provenance = queries.provenance(row["artifact_digest"], *ids)
    if provenance.artifact is not None:
        runtime = None if is_missing(row["runtime"]) else name_in(str(row["runtime"]))
        package_popover(provenance.artifact, "row", runtime)
    show_provenance(provenance)
    show_profile(provenance.artifact)
    show_layers(provenance.artifact)
    show_fp16(provenance.artifact)
    show_build_file_download(provenance.artifact)


page_title("Results")
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
        st.button("Clear filters", on_click=clear_filters)
    else:
        visible = limit_rows(shown.rows, MAX_ROWS)
        selection = results_table(visible, shown.columns)
        export_buttons(shown)
        selected_row(visible, selection)
