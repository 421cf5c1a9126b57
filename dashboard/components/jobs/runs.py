"""The live runs of the page Jobs: one collapsible row each, with its jobs inside."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard_callback
from dashboard.components.common.notice import leave_notice
from dashboard.components.jobs.progress import Schedule, stepper
from dashboard.components.jobs.table import queued_row, running_card
from dashboard.formats import duration, escape_markdown, plural
from dashboard.queries import JobView
from db.enums import JobStatus
from engine.jobs import control

SHOWN_QUEUED = 8
MAX_LISTED = 6


def show_live_runs(live: list[JobView], planned: Schedule) -> None:
    """A row for each run with live jobs, the first one open; then the jobs without a run."""
    needs = control.needs_of_live(queries.url())
    by_run: dict[int, list[JobView]] = {}
    for view in live:
        by_run.setdefault(view.runs[0] if view.runs else 0, []).append(view)
    alone = by_run.pop(0, [])
    for run_id, (title, statuses) in queries.run_stages(list(by_run)).items():
        views = by_run[run_id]
        opened = st.session_state.setdefault(f"run_row_{run_id}", run_id == next(iter(by_run)))
        with st.expander(_label(run_id, title, statuses, planned.left_s(views)), expanded=opened):
            _run_body(run_id, views, statuses, planned, needs)
    if alone:
        with st.container(border=True):
            _jobs(alone, planned, needs)


def _label(run_id: int, title: str, statuses: list[tuple[str, str]], left_s: float | None) -> str:
    done = sum(status == JobStatus.SUCCEEDED for _, status in statuses)
    left = "" if left_s is None else f" · about {duration(left_s)} left"
    return f"**Run {run_id} · {escape_markdown(title)}** · {done} of {len(statuses)} done{left}"


def _run_body(
    run_id: int,
    views: list[JobView],
    statuses: list[tuple[str, str]],
    planned: Schedule,
    needs: list[control.Need],
) -> None:
    done = sum(status == JobStatus.SUCCEEDED for _, status in statuses)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(stepper(statuses), width="stretch")
        st.page_link("app_pages/run.py", label=f"Run {run_id}", query_params={"id": str(run_id)})
        cancel_run_popover(run_id, views)
    if len(statuses) > 1:
        st.progress(done / len(statuses))
    _jobs(views, planned, needs)


def _jobs(views: list[JobView], planned: Schedule, needs: list[control.Need]) -> None:
    titles = {view.row.id: view.row.title for view in views}
    queued = [view for view in views if view.row.status == JobStatus.QUEUED]
    for view in views:
        if view.row.status == JobStatus.RUNNING:
            running_card(view, falling_titles(view, titles, needs))
    for view in queued[:SHOWN_QUEUED]:
        queued_row(view, planned.texts.get(view.row.id, ""), falling_titles(view, titles, needs))
    if len(queued) > SHOWN_QUEUED:
        st.caption(f"and {len(queued) - SHOWN_QUEUED} more queued")


def falling_titles(
    view: JobView, titles: Mapping[int, str], needs: list[control.Need]
) -> tuple[str, ...]:
    """Titles of the jobs that are skipped when this one is cancelled."""
    skipped = sorted(control.skipped_with([view.row.id], needs))
    return tuple(titles.get(number, f"job {number}") for number in skipped)


def cancel_run_popover(run_id: int, views: list[JobView]) -> None:
    """What cancelling the run ends and what it leaves, with the button that does it."""
    own = [view for view in views if view.runs in ((run_id,), ())]
    shared = [view for view in views if view not in own]
    with st.popover("Cancel run", icon=":material/close:", key=f"cancel_run_{run_id}"):
        running = sum(view.row.status == JobStatus.RUNNING for view in own)
        st.markdown(
            f"Stops {plural(running, 'running job')} and removes {len(own) - running} queued "
            f"ones. Finished jobs are kept: the same request continues from there."
        )
        if shared:
            names = ", ".join(escape_markdown(view.row.title) for view in shared[:MAX_LISTED])
            st.markdown(f"Kept for another run: {names}.")
        st.button(
            f"Cancel {plural(len(own), 'job')}",
            key=f"cancel_run_now_{run_id}",
            type="primary",
            disabled=not own,
            on_click=cancel_remaining,
            args=(run_id,),
        )


def cancel_remaining(run_id: int) -> None:
    """Callback: cancels the queued and running jobs of a run."""
    with guard_callback():
        ids = control.cancel_run(queries.url(), run_id)
        leave_notice(f"Cancelled {plural(len(ids), 'job')}. Finished jobs are kept.")
