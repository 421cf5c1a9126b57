"""The one button for somebody who has nothing yet."""

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
    """Queues the built-in demo and goes to where it can be watched."""
    if st.button("Run the built-in demo", key=key, type="primary", icon=":material/play_arrow:"):
        run_id = None
        with guard():
            run_id = submit(DEMO, queries.url())
            dispatcher.ensure_dispatcher()
        if run_id is not None:
            leave_notice(f"The demo is queued as run {run_id}.")
            go_to(JOBS_PAGE)


def invitation() -> None:
    """What the demo does, and the other way to begin."""
    with st.container(border=True):
        st.markdown("**Nothing has been measured on this machine yet.**")
        st.markdown(
            "The built-in demo runs the whole chain on a small trained SE network and images that "
            "the workbench draws itself: export, build fp32 / fp16 / int8, evaluate, benchmark. "
            "It needs neither network nor data and takes about two minutes on two cores."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            demo_button("run_demo")
            st.page_link(
                "app_pages/new_run.py",
                label="Or queue a run of your own",
                icon=":material/add_circle:",
            )
