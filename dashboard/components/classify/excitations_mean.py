"""What SE blocks usually do: the mean over a dataset, asked for here and made by a job."""

from __future__ import annotations

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.jobs.table import cancel_button, progress_text, share_done
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


def usual_excitations(build: Artifact) -> MeanExcitations | None:
    """The mean of a dataset with the network's classes; offers the job that makes it, watches it.

    None until it is there.
    """
    fitting = [row for row in queries.datasets() if queries.same_classes(build, row)]
    if not fitting:
        st.caption("Register a dataset of the same classes to see its mean beside the image.")
        return None
    dataset = st.selectbox(
        "Mean of",
        fitting,
        format_func=lambda row: str(row.name),
        key="excitations_dataset",
        width=260,
    )
    known = load_mean(build, dataset, MEAN_IMAGES)
    if known is None:
        offer(asking_for(build, dataset))
    return known


def asking_for(build: Artifact, dataset: Dataset) -> NewJob:
    """The job that makes the mean."""
    spec = ExcitationsSpec(
        artifact=build.digest,
        dataset=dataset.name,
        dataset_digest=dataset.digest,
        images=MEAN_IMAGES,
    )
    return excitations_job(spec, build.model_id)


def offer(asked: NewJob) -> None:
    """A button that queues the job; while it is queued or runs, how far it is."""
    job = queries.newest_job(asked.identity())
    if job is not None and job.status in LIVE:
        st.fragment(run_every=REFRESH_S)(watch)(asked.identity())
        return
    if job is not None and job.status == JobStatus.FAILED:
        st.warning(message(job.error or "The mean could not be computed."))
    st.button(
        f"Compute the mean of {MEAN_IMAGES} images",
        key="excitations_mean",
        icon=":material/functions:",
        on_click=queue,
        args=(asked,),
        help="A background job; this page shows the mean once it is there.",
    )


def queue(asked: NewJob) -> None:
    """Callback: one equal job at a time, however often it is asked for."""
    with guard():
        with writing(queries.url()) as session:
            store.submit(session, asked)
        dispatcher.ensure_dispatcher()


def watch(key: str) -> None:
    """The job's progress; reloads the page when it has ended."""
    with guard():
        job = queries.newest_job(key)
        if job is None or job.status not in LIVE:
            st.rerun()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(share_done(job) or 0.0, text=escape_markdown(words_of(job)))
            cancel_button(job)


def words_of(job: Job) -> str:
    """What the job does at this moment."""
    if job.status == JobStatus.QUEUED:
        return f"Job {job.id} waits its turn: {job.title}"
    return progress_text(job) or f"Job {job.id} starts: {job.title}"
