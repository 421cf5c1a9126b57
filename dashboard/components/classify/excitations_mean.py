"""The mean SE gates over a dataset, computed by a job that is queued here."""

from __future__ import annotations

import streamlit as st

from dashboard import queries
from dashboard.components.jobs import single
from db.models import Artifact, Dataset
from engine.excitations.job import MeanExcitations, load_mean
from engine.jobs.queue import NewJob
from engine.runs.compile import excitations_job
from engine.specs import ExcitationsSpec

MEAN_IMAGES = 256


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
    single.show_job(
        new_job,
        key="excitations_mean",
        label=f"Compute the mean of {MEAN_IMAGES} images",
        icon=":material/functions:",
        about="the mean",
        failed="The mean could not be computed.",
    )
