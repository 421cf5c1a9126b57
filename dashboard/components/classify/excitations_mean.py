"""The mean SE gates over a dataset, computed by a job that is queued here."""

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
from db.models import Artifact, Dataset, Job
from db.session import writing
from engine.excitations.job import MeanExcitations, load_mean
from engine.jobs import dispatcher
from engine.jobs import queue as store
from engine.jobs.queue import NewJob
from engine.runs.compile import excitations_job
from engine.specs import ExcitationsSpec

MEAN_IMAGES = 256
REFRESH_S = 1.0


def mean_excitations(build: Artifact) -> MeanExcitations | None:
    """The mean over a dataset with the classes of the build; None until it is computed.

    Draws the button that queues the job, and the progress of the job.
    """
    fitting = [row for row in queries.datasets() if queries.has_same_classes(build, row)]
    if not fitting:
        st.caption("To compare with a dataset mean, register a dataset with the same classes.")
        return None
    dataset = st.selectbox(
        "Dataset mean",
        fitting,
        format_func=lambda row: str(row.name),
        key="excitations_dataset",
        width=260,
    )
    mean = load_mean(build, dataset, MEAN_IMAGES)
    if mean is None:
        show_job(mean_excitations_job(build, dataset))
    return mean


def mean_excitations_job(build: Artifact, dataset: Dataset) -> NewJob:
    """The job that computes the mean."""
    spec = ExcitationsSpec(
        artifact=build.digest,
        dataset=dataset.name,
        dataset_digest=dataset.digest,
        images=MEAN_IMAGES,
    )
    return excitations_job(spec, build.model_id)


def show_job(new_job: NewJob) -> None:
    """A button that queues the job; its progress while it is queued or running."""
    job = queries.newest_job(new_job.identity())
    if job is not None and job.status in LIVE:
        st.fragment(run_every=REFRESH_S)(show_progress)(new_job.identity())
        return
    if job is not None and job.status == JobStatus.FAILED:
        st.warning(message(job.error or "The mean could not be computed."))
    st.button(
        f"Compute the mean of {MEAN_IMAGES} images",
        key="excitations_mean",
        icon=":material/functions:",
        on_click=queue,
        args=(new_job,),
        help="Runs as a background job; this page shows the mean when it has finished.",
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
