"""Queues what a command asks for, follows it, and prints what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from db.enums import JobStatus
from db.models import Job
from db.session import writing
from engine.catalog.models import find_model
from engine.cli.output import emit_json, emit_table, note
from engine.cli.results import show_results
from engine.cli.watch import watch
from engine.jobs import queue
from engine.jobs.dispatcher import ensure_dispatcher
from engine.jobs.queue import NewJob
from engine.jobs.results import JobResult
from engine.runs.plan import plan
from engine.runs.request import RunRequest
from engine.runs.submit import run_job_ids, submit
from engine.store.database import prepare_database

if TYPE_CHECKING:
    import pandas as pd

Conclude = Callable[["pd.DataFrame"], dict[str, Any]]
"""Says what the results come to, and returns it for the document of --json."""


def queue_run(
    request: RunRequest, detach: bool, json: bool, conclude: Conclude | None = None
) -> int:
    """Plans, queues and follows a run; the exit code. Raises InvalidRequest when it cannot be."""
    run_id = submit_noting(request)
    job_ids = run_job_ids(run_id, prepare_database())
    return _follow(job_ids, detach, json, {"run": run_id}, conclude)


def submit_noting(request: RunRequest) -> int:
    """Queues a run after saying what to beware of; its id. Raises InvalidRequest."""
    url = prepare_database()
    find_model(request.model_id)
    for remark in plan(request, url).remarks:
        note(f"Note: {remark}")
    return submit(request, url)


def finish_run(run_id: int) -> list[Job]:
    """Follows a run to its end; its jobs, of which what failed or was assumed has been said."""
    url = prepare_database()
    return _named(watch(run_job_ids(run_id, url), url))


def finish_job(new: NewJob) -> Job:
    """Queues one job and follows it to its end; if it fails, why is said."""
    url = prepare_database()
    with writing(url) as session:
        job_id = queue.submit(session, new)
    return _named(watch([job_id], url))[0]


def _named(jobs: list[Job]) -> list[Job]:
    for job in jobs:
        for text in JobResult.of(job.result).notes:
            note(f"Note: {text}")
        if job.status != JobStatus.SUCCEEDED:
            note(f"Job {job.id} ({job.title}) {job.status}: {job.error or 'no reason given'}")
    return jobs


def queue_jobs(
    new: list[NewJob], detach: bool, json: bool, conclude: Conclude | None = None
) -> int:
    """Queues and follows single jobs; the exit code."""
    url = prepare_database()
    with writing(url) as session:
        job_ids = [queue.submit(session, job) for job in new]
    return _follow(job_ids, detach, json, {}, conclude)


def _follow(
    job_ids: list[int],
    detach: bool,
    json: bool,
    about: dict[str, Any],
    conclude: Conclude | None,
) -> int:
    url = prepare_database()
    if detach:
        ensure_dispatcher()
        about = {**about, "jobs": job_ids}
        emit_json(about) if json else note(f"Queued as jobs {job_ids}; `jobs list` shows them.")
        return 0
    jobs = watch(job_ids, url)
    rows = _results_of(jobs, url)
    if json:
        from engine.results.formats import to_records

        said = conclude(rows) if conclude else {}
        done = {"jobs": [_describe(j) for j in jobs], "results": to_records(rows)}
        emit_json({**about, **done, **said})
    else:
        _show_artifacts(jobs)
        if len(rows):
            show_results(rows)
        if conclude:
            conclude(rows)
    return 1 if any(job.status != JobStatus.SUCCEEDED for job in _named(jobs)) else 0


def _results_of(jobs: list[Job], url: str) -> pd.DataFrame:
    """Rows of the results table that these jobs made or found."""
    from engine.results import (
        results_of_measurements,
    )  # with pandas, which who only queues does without

    made = [JobResult.of(job.result) for job in jobs]
    return results_of_measurements(
        url,
        {one.artifact for one in made if one.artifact},
        {one.evaluation for one in made if one.evaluation},
        {one.benchmark for one in made if one.benchmark},
    )


def _describe(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in ("id", "title", "status", "error", "result")}


def _show_artifacts(jobs: list[Job]) -> None:
    made = [(job.title, JobResult.of(job.result)) for job in jobs]
    rows = [(title, one.artifact[:12], one.reused) for title, one in made if one.artifact]
    if rows:
        emit_table("Artifacts", ("made by", "artifact", "was there already"), rows)
