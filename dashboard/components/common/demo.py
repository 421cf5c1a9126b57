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
    """The empty state: three ways to a first chart, each in at most four steps."""
    st.markdown("**No results yet.** Three ways to a first chart:")
    with st.grid(3, min_column_width=260):
        with st.container(border=True):
            _steps(
                "See how it works",
                "Press the button: export, fp32, fp16 and int8 builds of a small SE network.",
                "Wait about two minutes; it needs no network access and no data.",
                "Open Compare.",
            )
            demo_button("run_demo")
        with st.container(border=True):
            _steps(
                "I have a model",
                "Add a dataset of labeled images (not needed for speed alone).",
                "Choose a model, or drop an ONNX or weights file, on New run.",
                "Queue the run.",
                "Open Compare when it has ended.",
            )
            with st.container(horizontal=True):
                _link("new_run", "Queue your own run", "add_circle")
                _link("datasets", "Add a dataset", "photo_library")
        with st.container(border=True):
            _steps(
                "I have results",
                "Drop a file of predictions or of speeds.",
                "Say what was measured, and check the preview.",
                "Import, and open Compare.",
            )
            _link("import_results", "Import results", "upload_file")


def _steps(title: str, *steps: str) -> None:
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    st.markdown(f"**{title}**\n\n{numbered}")


def _link(page: str, label: str, icon: str) -> None:
    st.page_link(f"app_pages/{page}.py", label=label, icon=f":material/{icon}:")
