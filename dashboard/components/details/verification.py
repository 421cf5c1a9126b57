"""The published figures of the catalog, verified: a table, the runs that fill it, Markdown."""

from __future__ import annotations

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard_callback
from dashboard.components.common.notice import leave_notice
from dashboard.components.compare.filters import IMAGENET_CLASSES
from dashboard.formats import escape_markdown, plural
from engine.common.program import program
from engine.errors import WorkbenchError
from engine.jobs import dispatcher
from engine.results.verification import (
    Verdict,
    catalog_models,
    verification_markdown,
    verification_request,
    verification_summary,
    verification_table,
    verifications,
)
from engine.runs.submit import submit


def show_verification() -> None:
    """The section: a dataset, the table, and the models to verify next."""
    st.subheader("Published figures, verified")
    names = [row.name for row in queries.datasets() if row.num_classes == IMAGENET_CLASSES]
    if not names:
        st.caption(
            "Register ImageNet-1k (page Datasets) to hold the published figures against the "
            "published weights, evaluated here."
        )
        return
    dataset = str(st.selectbox("Verify on", names, key="verify_dataset", width=320))
    rows = verifications(catalog_models(), dataset, queries.url())
    st.caption(escape_markdown(verification_summary(rows, dataset)))
    st.dataframe(
        verification_table(rows),
        key="verification",
        hide_index=True,
        alt="Published and measured top-1 and top-5 of the catalog models",
    )
    left = [row.model_id for row in rows if row.verdict == Verdict.NOT_MEASURED]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Models to verify",
            left,
            key="verify_models",
            placeholder=f"All {len(left)} that are not measured",
            width=420,
        )
        st.button(
            "Verify",
            key="verify",
            icon=":material/fact_check:",
            disabled=not left,
            on_click=_queue,
            args=(chosen or left, dataset),
            help="Queues a run for each: downloads the published weights, and evaluates them in "
            "fp32 with the preprocessing of the published figure.",
        )
        st.download_button(
            "Markdown",
            data=lambda: verification_markdown(rows, dataset),
            file_name="verified.md",
            mime="text/markdown",
            key="verify_markdown",
            icon=":material/download:",
            on_click="ignore",
        )
    st.code(f"{program()} verify --catalog --dataset {dataset}", language="bash")


def _queue(models: list[str], dataset: str) -> None:
    """Callback: queues a run for each model; one that cannot be queued is named."""
    failures = []
    with guard_callback():
        for model_id in models:
            (model,) = catalog_models(model_id)
            try:
                submit(verification_request(model, dataset, None), queries.url())
            except WorkbenchError as error:
                failures.append(f"{model_id}: {error}")
        dispatcher.ensure_dispatcher()
        queued = plural(len(models) - len(failures), "run")
        leave_notice(escape_markdown(" ".join([f"{queued} queued; see Jobs.", *failures[:2]])))
