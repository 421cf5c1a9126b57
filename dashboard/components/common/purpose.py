"""The title of each page, the one sentence that says what it is for, and its document."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a page is for, in one sentence; `document`: a file of docs/, `anchor`: its heading."""

    sentence: str
    document: str = "dashboard"
    anchor: str = ""


PURPOSES: dict[str, Purpose] = {
    "Compare": Purpose(
        "Choose the build to deploy: accuracy against speed, size and compute.", anchor="compare"
    ),
    "New run": Purpose("Queue exports, builds, benchmarks and evaluations.", anchor="new-run"),
    "Jobs": Purpose("See what runs, what waits and for what, and what failed.", anchor="jobs"),
    "Classify": Purpose("Classify your own images with up to four builds.", anchor="classify"),
    "Results": Purpose("Read, filter and export all measurements.", anchor="results"),
    "Import": Purpose("Take over predictions and speeds of other machines.", anchor="import"),
    "Datasets": Purpose("Add labeled images to measure accuracy on.", "datasets"),
    "System": Purpose("See this machine, its runtimes, disk use and all definitions.",
                      anchor="system"),
    "Help": Purpose("Read the documents of the workbench, without a network."),
    "Run": Purpose("Follow the jobs of one run, read its results and repeat it.", anchor="jobs"),
    "Runs": Purpose("Find an earlier run, and open or clone it.", anchor="jobs"),
}  # fmt: skip
"""By title."""


def page_title(title: str) -> None:
    """The title with its sentence and the link to its document."""
    st.title(title)
    page_purpose(title)


def page_purpose(title: str) -> None:
    """The sentence and the link alone, below a title."""
    purpose = PURPOSES[title]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(purpose.sentence, width="stretch")
        if title != "Help":
            st.page_link(
                "app_pages/help.py",
                label="Help",
                icon=":material/help:",
                query_params={"document": purpose.document, "section": purpose.anchor},
            )
