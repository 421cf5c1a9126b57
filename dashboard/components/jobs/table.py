"""Cards and rows of jobs: progress, rate, remaining time, log, cancel and retry."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard_callback
from dashboard.components.common.notice import leave_notice
from dashboard.components.jobs.fix import fix_button
from dashboard.components.jobs.progress import show_running_accuracy
from dashboard.formats import duration, escape_markdown, message, plural, significant
from dashboard.palette import STATUS_COLORS, STATUS_ICONS
from dashboard.queries import JobView
from db.enums import JobStatus
from db.models import Job
from engine.jobs import control, dispatcher

LOG_HEIGHT = 180
SHORT_LOG = 6
MAX_FALLING = 6


def progress_fraction(job: Job) -> float | None:
    """Progress between 0 and 1; None where the total is unknown."""
    if not job.total or job.done is None:
        return None
    return min(1.0, max(0.0, job.done / job.total))


def progress_text(job: Job) -> str:
    """`1,280 of 2,400 images · 214 images/s · 5 s left`, without unknown parts."""
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
    """The status as a colored badge."""
    member = JobStatus(status)
    st.badge(member.value, icon=STATUS_ICONS[member], color=STATUS_COLORS[member])  # type: ignore[arg-type]


def running_card(view: JobView, falling: tuple[str, ...] = ()) -> None:
    """A running job with its progress, message, running accuracy and log.

    `falling`: titles of the jobs that are skipped if it is cancelled.
    """
    job = view.row
    with st.container(border=True):
        _title_row(view, cancel=True, falling=falling)
        fraction = progress_fraction(job)
        if fraction is not None:
            st.progress(fraction, text=escape_markdown(progress_text(job)))
        if job.message:
            st.markdown(escape_markdown(job.message))
        show_running_accuracy(job)
        _log(job, expanded=True)


def no_dispatcher_warning() -> None:
    """Says that queued jobs wait for a dispatcher that did not start."""
    st.warning(
        "Queued jobs do not run: the dispatcher did not start. The reason is in the log of "
        "the server; no job is lost.",
        icon=":material/cloud_off:",
    )


def queued_row(view: JobView, position: str = "", falling: tuple[str, ...] = ()) -> None:
    """A queued job, its position, and the jobs it waits for; `falling` as in `running_card`."""
    dependencies = ", ".join(view.waits_for[:2])
    more = len(view.waits_for) - 2
    reason = f"waits for {dependencies}" + (f" and {more} more" if more > 0 else "")
    text = "; ".join(filter(None, [position, reason if dependencies else ""])) or "queued"
    if view.row.message:
        text += f". {view.row.message}"
    _title_row(view, cancel=True, note=text, falling=falling)


def failed_card(view: JobView, key: str) -> None:
    """A failed job: error, log, Retry, Dismiss, and a way to mend a wrong request."""
    job = view.row
    with st.container(border=True):
        _title_row(view, retry=True, dismiss=True, key=key)
        st.error(message(job.error or "The job failed without an error message."))
        _log(job, expanded=False)


def job_details(view: JobView, key: str) -> None:
    """One ended job with its error or message and its log."""
    job = view.row
    with st.container(border=True):
        _title_row(view, retry=job.status != JobStatus.SUCCEEDED, key=key)
        if job.error:
            st.error(message(job.error))
        elif job.message:
            st.markdown(escape_markdown(job.message))
        attempts = plural(job.attempt, "attempt")
        st.caption(f"Job {job.id} · {attempts} · duration {duration(elapsed(job))}")
        _log(job, expanded=True)


def elapsed(job: Job) -> float | None:
    """Seconds from start to end; None where the job did not run."""
    if job.started_at is None or job.ended_at is None:
        return None
    return job.ended_at - job.started_at


def _title_row(
    view: JobView,
    *,
    cancel: bool = False,
    retry: bool = False,
    dismiss: bool = False,
    key: str = "job",
    note: str = "",
    falling: tuple[str, ...] = (),
) -> None:
    job = view.row
    suffix = f" :gray[· {escape_markdown(note)}]" if note else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        status_badge(job.status)
        st.markdown(f"**{escape_markdown(job.title)}**{suffix}", width="stretch")
        for run_id in view.runs[:1]:
            st.page_link(
                "app_pages/run.py", label=f"Run {run_id}", query_params={"id": str(run_id)}
            )
        if cancel:
            cancel_button(job, falling)
        if retry:
            fix_button(view, key)
            _retry_button(job, key)
        if dismiss:
            st.button(
                "Dismiss",
                key=f"dismiss_{key}_{job.id}",
                icon=":material/check:",
                on_click=dismiss_failures,
                args=([job.id],),
                help="Removes it from this list; History keeps it.",
            )


def _retry_button(job: Job, key: str) -> None:
    st.button(
        "Retry",
        key=f"retry_{key}_{job.id}",
        icon=":material/replay:",
        on_click=_retry,
        args=(job.id,),
    )


def cancel_button(job: Job, falling: tuple[str, ...] = ()) -> None:
    """Cancels a job; first says which jobs are skipped with it."""
    if job.cancel:
        st.caption("Canceling", width="content")
        return
    if not falling:
        _cancel_now(job, "Cancel")
        return
    with st.popover("Cancel", icon=":material/close:", key=f"cancel_popover_{job.id}"):
        more = len(falling) - MAX_FALLING
        titles = "\n".join(f"- {escape_markdown(title)}" for title in falling[:MAX_FALLING])
        rest = f"\n- and {more} more" if more > 0 else ""
        st.markdown(f"{plural(len(falling), 'job')} skipped with it:\n\n{titles}{rest}")
        _cancel_now(job, f"Cancel {len(falling) + 1} jobs")


def _cancel_now(job: Job, label: str) -> None:
    st.button(
        label,
        key=f"cancel_{job.id}",
        icon=":material/close:",
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
        status = control.cancel(queries.url(), job_id)
        state = "is stopping" if status == JobStatus.RUNNING else f"is {status}"
        leave_notice(f"Job {job_id} {state}.")


def _retry(job_id: int) -> None:
    with guard_callback():
        queued = control.retry(queries.url(), job_id)
        dispatcher.ensure_dispatcher()
        leave_notice(f"{plural(len(queued), 'job')} queued again.")


def dismiss_failures(job_ids: list[int]) -> None:
    """Callback: takes failed jobs off the list of open failures."""
    with guard_callback():
        control.dismiss(queries.url(), job_ids)
