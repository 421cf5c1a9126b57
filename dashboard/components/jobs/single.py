"""A button that queues one job from a page, and its progress there."""

from __future__ import annotations

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.jobs.progress import queue_positions
from dashboard.components.jobs.table import (
    cancel_button,
    no_dispatcher_warning,
    progress_fraction,
    progress_text,
)
from dashboard.formats import escape_markdown, message
from db.enums import LIVE, JobStatus
from db.models import Job
from db.session import writing
from engine.jobs import dispatcher
from engine.jobs import queue as store
from engine.jobs.queue import NewJob

REFRESH_S = 1.0


def show_job(new_job: NewJob, *, key: str, label: str, icon: str, about: str, failed: str) -> None:
    """A button that queues the job; its progress while it is queued or running.

    `about`: what the result will be, for the help; `failed`: the sentence where no error is known.
    """
    job = queries.newest_job(new_job.identity())
    if job is not None and job.status in LIVE:
        st.fragment(run_every=REFRESH_S)(show_progress)(new_job.identity())
        return
    if job is not None and job.status == JobStatus.FAILED:
        st.warning(message(job.error or failed))
    st.button(
        label,
        key=key,
        icon=icon,
        on_click=queue,
        args=(new_job,),
        help=f"Runs as a background job; this page shows {about} when it has finished.",
    )


def queue(new_job: NewJob) -> None:
    """Callback: queues the job; an equal live job is reused."""
    with guard():
        with writing(queries.url()) as session:
            store.submit(session, new_job)
        dispatcher.ensure_dispatcher()


def show_progress(key: str) -> None:
    """The progress of the job; reloads the page when the job has ended."""
    with guard():
        dispatching = dispatcher.ensure_dispatcher()
        job = queries.newest_job(key)
        if job is None or job.status not in LIVE:
            st.rerun()
        if job.status == JobStatus.QUEUED and not dispatching:
            no_dispatcher_warning()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(progress_fraction(job) or 0.0, text=escape_markdown(job_status_text(job)))
            cancel_button(job)


def job_status_text(job: Job) -> str:
    """The progress of the job, or its status."""
    if job.status == JobStatus.QUEUED:
        position = queue_positions(queries.live_jobs()).get(job.id)
        return f"Job {job.id} is queued{f', {position}' if position else ''}: {job.title}"
    return progress_text(job) or f"Job {job.id} is starting: {job.title}"
