"""Queues the jobs of a command, follows them, and prints their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from db.enums import JobStatus
from db.models import Job
from db.session import writing
from engine.catalog.models import find_model
from engine.cli.output import emit_json, emit_table, note
from engine.cli.results import show_results
from engine.cli.watch import watch_jobs
from engine.jobs import queue
from engine.jobs.dispatcher import ensure_dispatcher
from engine.jobs.queue import NewJob
from engine.jobs.results import JobResult, benchmarks_of
from engine.runs.durations import estimate_run
from engine.runs.plan import plan
from engine.runs.request import RunRequest
from engine.runs.submit import run_job_ids, submit
from engine.store.database import prepare_database

if TYPE_CHECKING:
    import pandas as pd

ResultsSummary = Callable[["pd.DataFrame"], dict[str, Any]]
"""Prints a summary of the results, and returns it for the document of --json."""


def queue_run(
    request: RunRequest,
    detach: bool,
    json: bool,
    summarize: ResultsSummary | None = None,
    *,
    says_duration: bool = True,
) -> int:
    """Plans, queues and follows a run; returns the exit code. InvalidRequest if it is invalid."""
    run_id = submit_with_warnings(request, says_duration=says_duration)
    job_ids = run_job_ids(run_id, prepare_database())
    return _follow(job_ids, detach, json, {"run": run_id}, summarize)


def submit_with_warnings(request: RunRequest, *, says_duration: bool = False) -> int:
    """Prints the warnings of a run, queues it and returns its id. InvalidRequest if invalid."""
    url = prepare_database()
    for model in request.models:
        find_model(model.model_id)
    planned = plan(request, url)
    for remark in planned.remarks:
        note(f"Note: {remark}")
    if says_duration and planned.work is not None:
        note(estimate_run(request, planned.work, url).sentence())
    return submit(request, url)


def finish_run(run_id: int) -> list[Job]:
    """Follows a run until it ends; prints notes and failures, and returns the jobs."""
    url = prepare_database()
    return _report_failures(watch_jobs(run_job_ids(run_id, url), url))


def finish_job(new: NewJob) -> Job:
    """Queues one job and follows it until it ends; prints notes and a failure."""
    url = prepare_database()
    with writing(url) as session:
        job_id = queue.submit(session, new)
    return _report_failures(watch_jobs([job_id], url))[0]


def _report_failures(jobs: list[Job]) -> list[Job]:
    for job in jobs:
        for text in JobResult.from_stored(job.result).notes:
            note(f"Note: {text}")
        if job.status != JobStatus.SUCCEEDED:
            note(f"Job {job.id} ({job.title}) {job.status}: {job.error or 'no reason recorded'}")
    return jobs


def queue_jobs(
    new: list[NewJob], detach: bool, json: bool, summarize: ResultsSummary | None = None
) -> int:
    """Queues and follows jobs, whose needs are positions in the list; returns the exit code."""
    url = prepare_database()
    with writing(url) as session:
        job_ids = queue.submit_all(session, new)
    return _follow(job_ids, detach, json, {}, summarize)


def _follow(
    job_ids: list[int],
    detach: bool,
    json: bool,
    document: dict[str, Any],
    summarize: ResultsSummary | None,
) -> int:
    url = prepare_database()
    if detach:
        ensure_dispatcher()
        document = {**document, "jobs": job_ids}
        emit_json(document) if json else note(f"Queued as jobs {job_ids}; `jobs list` shows them.")
        return 0
    jobs = watch_jobs(job_ids, url)
    rows = _results_of(jobs, url)
    if json:
        from engine.results.formats import to_records

        summary = summarize(rows) if summarize else {}
        done = {"jobs": [_job_document(j) for j in jobs], "results": to_records(rows)}
        emit_json({**document, **done, **summary})
    else:
        _show_artifacts(jobs)
        if len(rows):
            show_results(rows)
        if summarize:
            summarize(rows)
    return 1 if any(job.status != JobStatus.SUCCEEDED for job in _report_failures(jobs)) else 0


def _results_of(jobs: list[Job], url: str) -> pd.DataFrame:
    """Rows of the results table that these jobs produced or reused."""
    from engine.results import (
        results_of_measurements,  # imports pandas, which --detach does not need
    )

    results = [JobResult.from_stored(job.result) for job in jobs]
    return results_of_measurements(
        url,
        {result.artifact for result in results if result.artifact},
        {result.evaluation for result in results if result.evaluation},
        benchmarks_of(jobs, url),
    )


def _job_document(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in ("id", "title", "status", "error", "result")}


def _show_artifacts(jobs: list[Job]) -> None:
    results = [(job.title, JobResult.from_stored(job.result)) for job in jobs]
    rows = [(title, r.artifact[:12], r.reused) for title, r in results if r.artifact]
    if rows:
        emit_table("Artifacts", ("job", "artifact", "reused"), rows)
