"""The built-in demo: its button, and the empty state of pages without results."""

from __future__ import annotations

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.common.notice import go_to, leave_notice
from engine.jobs import dispatcher
from engine.runs.request import DEMO
from engine.runs.submit import submit

JOBS_PAGE = "app_pages/jobs.py"


def demo_button(key: str) -> None:
    """A button that queues the built-in demo and opens Jobs."""
    if st.button("Run the built-in demo", key=key, type="primary", icon=":material/play_arrow:"):
        run_id = None
        with guard():
            run_id = submit(DEMO, queries.url())
            dispatcher.ensure_dispatcher()
        if run_id is not None:
            leave_notice(f"Demo queued as run {run_id}.")
            go_to(JOBS_PAGE)


def invitation() -> None:
    """The empty state: what the demo does, and a link to New run."""
    with st.container(border=True):
        st.markdown("**No results yet.**")
        st.markdown(
            "The built-in demo runs export, build (fp32, fp16, int8), evaluation and benchmark of "
            "a small trained SE network on synthetic images. It needs no network access and no "
            "data, and takes about two minutes on two cores."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            demo_button("run_demo")
            st.page_link(
                "app_pages/new_run.py",
                label="Queue your own run",
                icon=":material/add_circle:",
            )
