"""Jobs: running, queued, failed and past jobs."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.demo import demo_button
from dashboard.components.common.guard import guard
from dashboard.components.common.notice import show_notice
from dashboard.components.common.purpose import page_title
from dashboard.components.jobs.machine import machine_holder, machine_text
from dashboard.components.jobs.progress import schedule
from dashboard.components.jobs.runs import show_live_runs
from dashboard.components.jobs.table import (
    dismiss_failures,
    elapsed,
    failed_card,
    job_details,
    no_dispatcher_warning,
)
from dashboard.formats import duration, plural
from dashboard.palette import STATUS_COLORS
from db.enums import ENDED, JobStatus
from engine.jobs import dispatcher

REFRESH_S = 1.5
IDLE_REFRESH_S = 4.0
"""Another tab or terminal may queue a job at any time."""
WERE_LIVE = "jobs_were_live"
CHOSEN = "chosen_job"
LISTED = "listed_jobs"


def all_jobs() -> None:
    """The page; redrawn often while a job is queued or running, and slowly otherwise."""
    with guard():
        show_notice()
        dispatching = dispatcher.ensure_dispatcher()
        live = queries.live_jobs()
        running = [view.row for view in live if view.row.status == JobStatus.RUNNING]
        queued = len(live) - len(running)
        if bool(live) != st.session_state.get(WERE_LIVE, bool(live)):
            st.session_state[WERE_LIVE] = bool(live)
            st.rerun()  # the whole page, with the other interval
        st.session_state[WERE_LIVE] = bool(live)
        state = "active" if dispatching else "idle"
        machine = machine_text(machine_holder(), running)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f"Queue {state} · {plural(len(running), 'job')} running, {queued} queued · "
                f"{machine}",
                width="stretch",
            )
            st.page_link("app_pages/run.py", label="All runs", icon=":material/receipt_long:")
        if queued and not dispatching:
            no_dispatcher_warning()
        show_live_runs(live, schedule(live))
        show_failures()
        show_history()


def show_failures() -> None:
    """Recent failures that were neither retried nor dismissed."""
    failed = queries.unresolved_failures()
    if not failed:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Failed", width="stretch")
        if len(failed) > 1:
            st.button(
                "Dismiss all",
                key="dismiss_all",
                icon=":material/done_all:",
                on_click=dismiss_failures,
                args=([view.row.id for view in failed],),
            )
    for view in failed:
        failed_card(view, key="open")


def show_history() -> None:
    """The table of ended jobs, and the error and log of the selected one."""
    if not queries.ended_jobs(tuple(ENDED), limit=1):
        return
    st.subheader("History")
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
        st.info("No past job has a selected status.", icon=":material/filter_alt_off:")
        return
    st.session_state[LISTED] = [view.row.id for view in views]
    show_table(views)
    selected = next((v for v in views if v.row.id == st.session_state.get(CHOSEN)), None)
    if selected is None:
        st.caption("Select a row to see its log.")
    else:
        job_details(selected, key="chosen")


def show_table(views: list[queries.JobView]) -> None:
    """The table of ended jobs; the selection follows its job."""
    column = st.column_config
    st.dataframe(
        jobs_table(views),
        key="ended_jobs",
        hide_index=True,
        on_select=store_selection,
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
            "result": column.TextColumn("result", width="large"),
            "duration": column.TextColumn("duration", width=100),
            "ended": column.DatetimeColumn("ended", format="distance", width=130),
        },
        alt="Past jobs, the most recent first",
    )


def jobs_table(views: list[queries.JobView]) -> pd.DataFrame:
    """One row per job."""
    return pd.DataFrame(
        {
            "job": [view.row.id for view in views],
            "status": [[view.row.status] for view in views],
            "title": [view.row.title for view in views],
            "result": [view.row.error or view.row.message or "" for view in views],
            "duration": [duration(elapsed(view.row)) for view in views],
            "ended": pd.to_datetime([view.row.ended_at for view in views], unit="s", utc=True),
        }
    )


def store_selection() -> None:
    """Callback: stores the id of the selected job; its row changes when other jobs end."""
    rows = st.session_state["ended_jobs"]["selection"]["rows"]
    listed = st.session_state.get(LISTED, [])
    st.session_state[CHOSEN] = listed[rows[0]] if rows and rows[0] < len(listed) else None


def show_jobs() -> None:
    """The page, or the invitation while there was never a job."""
    if queries.has_live_jobs() or queries.ended_jobs(tuple(ENDED), limit=1):
        all_jobs()
    else:
        invitation()


def invitation() -> None:
    """What will be shown here, and two ways to begin."""
    with st.container(border=True):
        st.markdown("**No jobs yet.**")
        st.markdown(
            "Jobs appear here with their progress, rate and remaining time. They keep running when "
            "you leave the page."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            demo_button("run_demo_from_jobs")
            st.page_link(
                "app_pages/new_run.py",
                label="Queue your own run",
                icon=":material/add_circle:",
            )


page_title("Jobs")
interval_s = REFRESH_S if queries.has_live_jobs() else IDLE_REFRESH_S
st.fragment(run_every=interval_s)(show_jobs)()
