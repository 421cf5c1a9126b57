"""What is running, what waits, what failed, and all that has ended."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.demo import demo_button
from dashboard.components.common.guard import guard
from dashboard.components.common.notice import show_notice
from dashboard.components.jobs.progress import queue_positions, show_live_runs
from dashboard.components.jobs.table import (
    elapsed,
    failed_card,
    job_details,
    queued_row,
    running_card,
)
from dashboard.formats import duration, plural
from dashboard.palette import STATUS_COLORS
from db.enums import ENDED, JobStatus
from engine.jobs import dispatcher

REFRESH_S = 1.5
SHOWN_QUEUED = 8
CHOSEN = "chosen_job"
LISTED = "listed_jobs"


def all_jobs() -> None:
    """All jobs; redrawn while any is queued or running."""
    with guard():
        show_notice()
        dispatching = dispatcher.ensure_dispatcher()
        live = queries.live_jobs()
        running = [view for view in live if view.row.status == JobStatus.RUNNING]
        queued = [view for view in live if view.row.status == JobStatus.QUEUED]
        if not live and st.session_state.pop("jobs_were_live", False):
            st.rerun()
        st.session_state["jobs_were_live"] = bool(live)
        state = "running" if dispatching else "idle: it starts by itself when a job is queued"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f"Dispatcher {state} · {plural(len(running), 'job')} running, {len(queued)} queued",
                width="stretch",
            )
            st.page_link("app_pages/run.py", label="All runs", icon=":material/receipt_long:")
        if queued and not dispatching:
            st.warning(
                "Jobs are queued, but nothing runs them: the dispatcher did not start. What "
                "happened is in the log of the server; the queue stays as it is.",
                icon=":material/cloud_off:",
            )
        show_live_runs(live)
        for view in running:
            running_card(view)
        if queued:
            queue_part(queued, queue_positions(live))
        failures()
        ended_part()


def queue_part(queued: list[queries.JobView], places: Mapping[int, str]) -> None:
    """The head of the queue, in the order in which jobs start."""
    with st.container(border=True):
        for view in queued[:SHOWN_QUEUED]:
            queued_row(view, places.get(view.row.id, ""))
        if len(queued) > SHOWN_QUEUED:
            st.caption(f"and {len(queued) - SHOWN_QUEUED} more in the queue")


def failures() -> None:
    """Failures that nothing has been queued after."""
    found = queries.open_failures()
    if found:
        st.subheader("Needs attention")
    for view in found:
        failed_card(view, key="open")


def ended_part() -> None:
    """The table of ended jobs; choosing a row shows its error and log."""
    if not queries.ended_jobs(tuple(ENDED), limit=1):
        return
    st.subheader("Ended")
    names = [str(status) for status in ENDED]
    shown = st.pills(
        "Status",
        names,
        selection_mode="multi",
        default=names,
        key="status",
        bind="query-params",
        label_visibility="collapsed",
    )
    views = queries.ended_jobs(tuple(shown))
    if not views:
        st.info("No ended job has one of the chosen states.", icon=":material/filter_alt_off:")
        return
    st.session_state[LISTED] = [view.row.id for view in views]
    show_table(views)
    chosen = next((v for v in views if v.row.id == st.session_state.get(CHOSEN)), None)
    if chosen is None:
        st.caption("Choose a row to see its log.")
    else:
        job_details(chosen, key="chosen")


def show_table(views: list[queries.JobView]) -> None:
    """The table; a chosen row is remembered by its job."""
    column = st.column_config
    st.dataframe(
        jobs_table(views),
        key="ended_jobs",
        hide_index=True,
        on_select=remember_choice,
        selection_mode="single-row",
        height=min(520, 36 * (len(views) + 1) + 4),
        row_height=36,
        placeholder="–",
        column_config={
            "job": column.NumberColumn("job", format="%d", width=60),
            "status": column.MultiselectColumn(
                "status",
                options=[str(status) for status in ENDED],
                color=[STATUS_COLORS[status] for status in ENDED],
                width=110,
            ),
            "what happened": column.TextColumn("what happened", width="large"),
            "took": column.TextColumn("took", width=100),
            "ended": column.DatetimeColumn("ended", format="distance", width=130),
        },
        alt="Ended jobs, the last to end first",
    )


def jobs_table(views: list[queries.JobView]) -> pd.DataFrame:
    """One row a job."""
    return pd.DataFrame(
        {
            "job": [view.row.id for view in views],
            "status": [[view.row.status] for view in views],
            "title": [view.row.title for view in views],
            "what happened": [view.row.error or view.row.message or "" for view in views],
            "took": [duration(elapsed(view.row)) for view in views],
            "ended": pd.to_datetime([view.row.ended_at for view in views], unit="s", utc=True),
        }
    )


def remember_choice() -> None:
    """Keeps the job's number: its place in the table changes when others end."""
    rows = st.session_state["ended_jobs"]["selection"]["rows"]
    listed = st.session_state.get(LISTED, [])
    st.session_state[CHOSEN] = listed[rows[0]] if rows and rows[0] < len(listed) else None


st.title("Jobs")
some_live = queries.has_live_jobs()
if some_live or queries.ended_jobs(tuple(ENDED), limit=1):
    st.fragment(run_every=REFRESH_S if some_live else None)(all_jobs)()
else:
    with st.container(border=True):
        st.markdown("**Nothing was ever queued.**")
        st.markdown(
            "Jobs appear here with their stage, rate and time left, and go on when you leave the "
            "page."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            demo_button("run_demo_from_jobs")
            st.page_link(
                "app_pages/new_run.py",
                label="Or queue a run of your own",
                icon=":material/add_circle:",
            )
