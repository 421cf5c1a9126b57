"""`jobs`: lists, shows, cancels and retries background jobs."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import typer
from sqlalchemy import select

from db.enums import JobStatus
from db.models import Job
from db.session import reading
from engine.cli.options import Json, row_id_parser
from engine.cli.output import emit_json, emit_table, note, out
from engine.common.untrusted import MAX_INTEGER
from engine.errors import InvalidRequest
from engine.jobs import control, queue
from engine.jobs.dispatcher import ensure_dispatcher
from engine.store.database import prepare_database
from engine.text import printable

app = typer.Typer(no_args_is_help=True)
_job_number = row_id_parser("job", "`jobs list` shows them")
JobId = Annotated[
    int,
    typer.Argument(
        parser=_job_number, metavar="NUMBER", help="Number of the job, as `jobs list` shows it."
    ),
]


@app.command("list")
def list_jobs(
    status: Annotated[
        JobStatus | None, typer.Option(help="Show only jobs with this status.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_INTEGER, help="Maximum number of jobs to show.")
    ] = 30,
    json: Json = False,
) -> None:
    """Lists the newest jobs with their status and progress.

    Example: `python -m engine jobs list --status failed`
    """
    url = prepare_database()
    ensure_dispatcher()
    statement = select(Job).order_by(Job.id.desc()).limit(limit)
    if status is not None:
        statement = statement.where(Job.status == status)
    with reading(url) as session:
        jobs = list(session.scalars(statement))
    if json:
        emit_json([job_document(job) for job in jobs])
        return
    rows = [(j.id, j.status, j.title, j.attempt, _progress(j), _seconds(j)) for j in jobs]
    emit_table("Jobs", ("job", "status", "title", "attempt", "progress", "seconds"), rows)


@app.command("show")
def show(job: JobId, json: Json = False) -> None:
    """Shows all facts of one job, and the last lines of its log.

    Example: `python -m engine jobs show 7`
    """
    row = _find_job(job)
    if json:
        emit_json({**job_document(row), "params": row.params, "log_tail": row.log_tail})
        return
    for name, value in job_document(row).items():
        if value is not None:
            out.print(printable(f"{name:>12}  {value}"))
    if row.log_tail:
        out.print(printable("\n" + row.log_tail))


@app.command("cancel")
def cancel(
    job: Annotated[
        int | None,
        typer.Argument(parser=_job_number, metavar="NUMBER", help="Number of the job."),
    ] = None,
    run: Annotated[
        int | None,
        typer.Option(
            parser=row_id_parser("run", "the page Jobs lists all runs"),
            metavar="NUMBER",
            help="Cancel the remaining jobs of this run instead.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Cancels a job: a queued one at once, a running one within about half a second.

    With --run all remaining jobs of a run are canceled. Finished jobs are kept: the same command,
    given again, continues from there.

    Example: `python -m engine jobs cancel 7`
    """
    if (job is None) == (run is None):
        raise InvalidRequest("Give the number of a job, or --run with the number of a run.")
    if run is not None:
        ids = control.cancel_run(prepare_database(), run)
        emit_json({"run": run, "cancelled": ids}) if json else note(f"Canceled: jobs {ids}.")
        return
    assert job is not None
    url = prepare_database()
    skipped = sorted(control.skipped_with([job], control.needs_of_live(url)))
    status = control.cancel(url, job)
    if json:
        emit_json({"job": job, "status": status})
        return
    note(_CANCELLED.get(status, f"Job {job} had already ended: {status}."))
    if skipped and status in _CANCELLED:
        note(f"Skipped with it, because they need it: jobs {skipped}.")


_CANCELLED = {
    JobStatus.CANCELLED: "Canceled.",
    JobStatus.RUNNING: "The job is being stopped.",
}


@app.command("retry")
def retry(job: JobId, json: Json = False) -> None:
    """Queues an ended job again, with the jobs it depends on and those skipped because of it.

    Example: `python -m engine jobs retry 7`
    """
    url = prepare_database()
    ids = control.retry(url, job)
    ensure_dispatcher()
    emit_json({"queued": ids}) if json else note(f"Queued again: {ids}.")


def job_document(job: Job) -> dict[str, Any]:
    """A job for a JSON document; times in ISO 8601, UTC."""
    return {
        "id": job.id,
        "kind": job.kind,
        "title": job.title,
        "status": job.status,
        "attempt": job.attempt,
        "done": job.done,
        "total": job.total,
        "unit": job.unit,
        "rate_per_s": job.rate,
        "message": job.message,
        "error": job.error,
        "result": job.result,
        "host": job.host,
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "ended_at": _time(job.ended_at),
    }


def _find_job(job_id: int) -> Job:
    row = queue.get(prepare_database(), job_id)
    if row is None:
        raise InvalidRequest(f"There is no job {job_id}; `jobs list` shows them.")
    return row


def _time(epoch: float | None) -> str | None:
    if epoch is None:
        return None
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC).isoformat(timespec="seconds")


def _progress(job: Job) -> str | None:
    return f"{job.done:,}/{job.total:,} {job.unit}" if job.done and job.total else None


def _seconds(job: Job) -> float | None:
    return job.ended_at - job.started_at if job.ended_at and job.started_at else None
