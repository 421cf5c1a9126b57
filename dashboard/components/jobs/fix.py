"""Fix and run again: opens the form of a failed request at the field that was wrong."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.run_form.prefill import remember_request
from dashboard.components.run_form.to_fix import ERROR, FIELD_PARAMETER
from dashboard.queries import JobView
from db.enums import JobKind
from engine.runs.fields import FIELDS
from engine.runs.wrong_field import wrong_field
from engine.specs import DatasetSpec

DATASET_KEY = "dataset_to_fix"
"""Session state: the parameters of a failed registration, for the form of the page Datasets."""


def fix_button(view: JobView, key: str) -> None:
    """The button, where the request of the job was wrong rather than the circumstances."""
    job = view.row
    if job.kind == JobKind.PREPARE_DATASET:
        if st.button("Fix and add again", key=f"fix_{key}_{job.id}", icon=":material/build:"):
            st.session_state[DATASET_KEY] = DatasetSpec.model_validate(job.params).to_json()
            st.switch_page("app_pages/datasets.py", query_params={})
        return
    field = wrong_field(job)
    request = _request(view) if field else None
    if field is None or request is None:
        return
    if st.button(
        "Fix and run again",
        key=f"fix_{key}_{job.id}",
        icon=":material/build:",
        help=f"Opens the request at {FIELDS[field].label}.",
    ):
        remember_request(request)
        st.session_state[ERROR] = job.error
        st.switch_page("app_pages/new_run.py", query_params={FIELD_PARAMETER: field})


def _request(view: JobView) -> dict[str, Any] | None:
    run = queries.find_run(view.runs[-1]) if view.runs else None
    return None if run is None else run.request
