"""The jobs that a request would queue, and which of them find their result already made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from db.enums import JobKind, JobStatus
from db.models import Job
from db.session import reading
from engine.datasets.available import AvailableDatasets
from engine.jobs.queue import NewJob
from engine.jobs.results import JobResult
from engine.runs.compile import compile_for
from engine.runs.identified import identified
from engine.runs.request import RunRequest
from engine.store import artifacts

MADE_ONCE = (JobKind.EXPORT, JobKind.BUILD)
"""Kinds of jobs that make an artifact, which later jobs with the same key reuse."""


@dataclass(frozen=True, slots=True)
class Work:
    """`new` are the jobs that compute, `reused` those that find their artifact."""

    new: tuple[NewJob, ...]
    reused: tuple[NewJob, ...]


def work_of(request: RunRequest, url: str) -> Work:
    """The jobs of a request without problems; nothing is queued."""
    _, parts = identified(request, url)
    jobs = compile_for(parts, request.dataset, AvailableDatasets.read(url))
    made = _made([job.key for job in jobs if job.kind in MADE_ONCE], url)
    reused = tuple(job for job in jobs if job.key and job.key in made)
    return Work(tuple(job for job in jobs if job not in reused), reused)


def _made(keys: Sequence[str], url: str) -> set[str]:
    """The keys of earlier jobs whose artifacts are still there."""
    statement = select(Job.key, Job.result).where(
        Job.key.in_(keys), Job.status == JobStatus.SUCCEEDED
    )
    with reading(url) as session:
        rows = session.execute(statement).all()
    found = ((key, JobResult.from_stored(result).artifact) for key, result in rows)
    return {key for key, digest in found if digest and artifacts.is_stored(digest)}
