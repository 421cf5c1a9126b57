"""How jobs look: progress with rate and time left, the log's tail, cancel and retry."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard_callback
from dashboard.components.common.notice import leave_notice
from dashboard.components.jobs.progress import show_running_accuracy
from dashboard.formats import duration, escape_markdown, message, plural, significant
from dashboard.palette import STATUS_COLORS, STATUS_ICONS
from dashboard.queries import JobView
from db.enums import JobStatus
from db.models import Job
from engine.jobs import control, dispatcher

LOG_HEIGHT = 180
SHORT_LOG = 6


def progress_fraction(job: Job) -> float | None:
    """Between 0 and 1 when the total is known."""
    if not job.total or job.done is None:
        return None
    return min(1.0, max(0.0, job.done / job.total))


def progress_text(job: Job) -> str:
    """`1,280 of 2,400 images · 214 images/s · 5 s left`; only what is known."""
    if not job.total or job.done is None:
        return ""
    unit = job.unit or "units"
    if unit.startswith("s "):
        return f"{job.done:,} of {job.total:,} {unit}"
    parts = [f"{job.done:,} of {job.total:,} {unit}"]
    if job.rate and job.rate > 0:
        parts.append(f"{significant(job.rate)} {unit}/s")
        if job.done < job.total:
            parts.append(f"{duration((job.total - job.done) / job.rate)} left")
    return " · ".join(parts)


def status_badge(status: str) -> None:
    """A colored chip with the status as a word."""
    known = JobStatus(status)
    st.badge(known.value, icon=STATUS_ICONS[known], color=STATUS_COLORS[known])  # type: ignore[arg-type]


def running_card(view: JobView) -> None:
    """One running job, with everything that moves."""
    job = view.row
    with st.container(border=True):
        _title_row(view, cancel=True)
        share = progress_fraction(job)
        text = progress_text(job)
        if share is not None:
            st.progress(share, text=escape_markdown(text))
        if job.message:
            st.markdown(escape_markdown(job.message))
        show_running_accuracy(job)
        _log(job, expanded=True)


def queued_row(view: JobView, place: str = "") -> None:
    """One waiting job, its place in the queue, and what it waits for."""
    waits = ", ".join(view.waits_for[:2])
    more = len(view.waits_for) - 2
    reason = f"waits for {waits}" + (f" and {more} more" if more > 0 else "")
    told = "; ".join(filter(None, [place, reason if waits else "waits its turn"]))
    again = f". {view.row.message}" if view.row.message else ""
    _title_row(view, cancel=True, note=told + again)


def failed_card(view: JobView, key: str) -> None:
    """A failure: its sentence, the log, and Retry."""
    job = view.row
    with st.container(border=True):
        _title_row(view, retry=True, key=key)
        st.error(message(job.error or "The job failed without a message."))
        _log(job, expanded=False)


def job_details(view: JobView, key: str) -> None:
    """One ended job, as chosen in the table."""
    job = view.row
    with st.container(border=True):
        _title_row(view, retry=job.status != JobStatus.SUCCEEDED, key=key)
        if job.error:
            st.error(message(job.error))
        elif job.message:
            st.markdown(escape_markdown(job.message))
        tries = plural(job.attempt, "attempt")
        st.caption(f"Job {job.id} · {tries} · took {duration(elapsed(job))}")
        _log(job, expanded=True)


def elapsed(job: Job) -> float | None:
    """Seconds from start to end."""
    if job.started_at is None or job.ended_at is None:
        return None
    return job.ended_at - job.started_at


def _title_row(
    view: JobView, *, cancel: bool = False, retry: bool = False, key: str = "job", note: str = ""
) -> None:
    job = view.row
    aside = f" :gray[· {escape_markdown(note)}]" if note else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        status_badge(job.status)
        st.markdown(f"**{escape_markdown(job.title)}**{aside}", width="stretch")
        for run_id in view.runs[:1]:
            st.page_link(
                "app_pages/run.py", label=f"Run {run_id}", query_params={"id": str(run_id)}
            )
        if cancel:
            cancel_button(job)
        if retry:
            st.button(
                "Retry",
                key=f"retry_{key}_{job.id}",
                icon=":material/replay:",
                on_click=_retry,
                args=(job.id,),
            )


def cancel_button(job: Job) -> None:
    """Asks a job to stop; it says so while it does."""
    st.button(
        "Cancelling" if job.cancel else "Cancel",
        key=f"cancel_{job.id}",
        icon=":material/close:",
        disabled=job.cancel,
        on_click=_cancel,
        args=(job.id,),
    )


def _log(job: Job, *, expanded: bool) -> None:
    if not (job.log_tail or "").strip():
        return
    with st.expander("Log", expanded=expanded, icon=":material/notes:"):
        lines = _tail(job.log_tail or "")
        height = "content" if len(lines) <= SHORT_LOG else LOG_HEIGHT
        with st.container(height=height, border=False, autoscroll=True):  # type: ignore[arg-type]
            st.code("\n".join(lines), language=None, wrap_lines=True)


def _tail(log: str, lines: int = 30) -> Sequence[str]:
    return log.rstrip().splitlines()[-lines:]


def _cancel(job_id: int) -> None:
    with guard_callback():
        leave_notice(f"Job {job_id}: {_cancelled(control.cancel(queries.url(), job_id))}")


def _cancelled(status: JobStatus) -> str:
    return "stopping" if status == JobStatus.RUNNING else str(status)


def _retry(job_id: int) -> None:
    with guard_callback():
        queued = control.retry(queries.url(), job_id)
        dispatcher.ensure_dispatcher()
        leave_notice(f"Queued again: {plural(len(queued), 'job')}.")
