"""Export of the rows and columns that the Results page shows."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.results.filters import ShownResults
from dashboard.formats import plural
from dashboard.report import report
from engine.results.formats import to_csv, to_excel, to_latex, to_markdown
from engine.results.provenance import with_provenance
from engine.results.recommend import stored_evidence

FILE_NAME = "senet-results"
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def export_buttons(shown: ShownResults) -> None:
    """One download button per format; a file is written only when its button is clicked."""
    url, frame = queries.url(), shown.rows
    table = frame[shown.columns]
    formats: list[tuple[str, str, str, Callable[[], str | bytes]]] = [
        ("CSV", "csv", "text/csv", lambda: to_csv(table)),
        ("Excel", "xlsx", EXCEL, lambda: to_excel(table)),
        (
            "JSON with provenance",
            "json",
            "application/json",
            lambda: with_provenance(frame, shown.columns, url),
        ),
        ("Markdown", "md", "text/markdown", lambda: to_markdown(table)),
        ("LaTeX", "tex", "text/x-tex", lambda: to_latex(table)),
        (
            "HTML report",
            "html",
            "text/html",
            lambda: report(frame, shown.columns, shown.about, stored_evidence(url)),
        ),
    ]
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, suffix, mime, write in formats:
            st.download_button(
                label,
                data=write,
                file_name=f"{FILE_NAME}.{suffix}",
                mime=mime,
                key=f"export_{suffix}",
                icon=":material/download:",
                on_click="ignore",
            )
    st.caption(
        f"{plural(len(frame), 'row')}, the {table.shape[1]} columns shown, in this order; "
        f"unrounded in CSV, Excel and JSON. The HTML report is one self-contained file with charts."
    )


def limit_rows(rows: pd.DataFrame, max_rows: int) -> pd.DataFrame:
    """The first `max_rows` rows, for the browser; with a note if there are more."""
    if len(rows) > max_rows:
        st.caption(
            f":material/info: The first {max_rows:,} of {len(rows):,} rows. Use the filters to see "
            f"the others. An export contains all {len(rows):,}."
        )
    return rows.head(max_rows)
