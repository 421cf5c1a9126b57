"""What the Results page shows, to take along: exactly those rows and columns."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.results.filters import Shown
from dashboard.formats import plural
from dashboard.report import report
from engine.results.formats import to_csv, to_excel, to_latex, to_markdown
from engine.results.provenance import with_provenance

FILE_NAME = "senet-results"
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def exports(shown: Shown) -> None:
    """One button a format; a file is made only when it is asked for."""
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
        ("HTML report", "html", "text/html", lambda: report(frame, shown.columns, shown.about)),
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
        f"{plural(len(frame), 'row')}, the {table.shape[1]} columns shown, in this order, at full "
        f"precision in CSV, Excel and JSON. The report holds charts and is one file that asks no "
        f"other machine."
    )


def cut(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """The rows that are sent to the browser; says when there are more."""
    if len(rows) > most:
        st.caption(
            f":material/info: The first {most:,} of {len(rows):,} rows; narrow the filters to see "
            f"the others. An export holds all {len(rows):,}."
        )
    return rows.head(most)
