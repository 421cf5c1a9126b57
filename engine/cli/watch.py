"""Follows jobs on the terminal: progress bars with rate and time left, or lines in a pipe."""

from __future__ import annotations

import time

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from sqlalchemy import select

from db.enums import ENDED, JobStatus
from db.models import Job
from db.session import reading
from engine.cli.output import err, note
from engine.jobs.dispatcher import ensure_dispatcher
from engine.text import printable

POLL_S = 0.3
_MESSAGE_COLUMN = Column(ratio=1, no_wrap=True, overflow="ellipsis")


def watch_jobs(job_ids: list[int], url: str) -> list[Job]:
    """Shows the jobs until all have ended, and returns them. Ctrl-C leaves them running."""
    try:
        return _watch_bars(job_ids, url) if err.is_terminal else _watch_lines(job_ids, url)
    except KeyboardInterrupt:
        note(
            "The jobs continue in the background; `jobs list` shows them, `jobs cancel` stops one."
        )
        raise


def load_jobs(job_ids: list[int], url: str) -> list[Job]:
    """Reads jobs from the database, ordered by id."""
    with reading(url) as session:
        return list(session.scalars(select(Job).where(Job.id.in_(job_ids)).order_by(Job.id)))


def _all_ended(jobs: list[Job]) -> bool:
    return all(job.status in ENDED for job in jobs)


def _watch_lines(job_ids: list[int], url: str) -> list[Job]:
    shown: dict[int, str] = {}
    while True:
        ensure_dispatcher()
        jobs = load_jobs(job_ids, url)
        for job in jobs:
            if shown.get(job.id) != job.status:
                shown[job.id] = job.status
                note(f"[{job.id}] {job.title}: {job.status}{_message(job)}")
        if _all_ended(jobs):
            return jobs
        time.sleep(POLL_S)


def _message(job: Job) -> str:
    text = job.error or (job.message if job.status == JobStatus.SUCCEEDED else None)
    return f". {text}" if text else ""


def _watch_bars(job_ids: list[int], url: str) -> list[Job]:
    columns = (
        TextColumn("{task.fields[sign]}"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeRemainingColumn(compact=True),
        TextColumn(
            "{task.fields[message]}", style="dim", markup=False, table_column=_MESSAGE_COLUMN
        ),
    )
    with Progress(*columns, console=err, expand=True) as progress:
        bars: dict[int, TaskID] = {}
        while True:
            ensure_dispatcher()
            jobs = load_jobs(job_ids, url)
            for job in jobs:
                if job.id not in bars:
                    bars[job.id] = progress.add_task(
                        printable(job.title), sign="", amount="", message="", total=None
                    )
                _update(progress, bars[job.id], job)
            if _all_ended(jobs):
                return jobs
            time.sleep(POLL_S)


def _update(progress: Progress, bar: TaskID, job: Job) -> None:
    ended = job.status in ENDED
    total = job.total or (1 if ended or job.status == JobStatus.QUEUED else None)
    done = total if ended else job.done or 0
    rate = f" {job.rate:,.0f}/s" if job.rate and not ended else ""
    amount = f"{job.done:,}/{job.total:,} {job.unit}{rate}" if job.total and job.done else ""
    message = job.status if job.status == JobStatus.QUEUED else job.error or job.message or ""
    progress.update(
        bar,
        completed=done,
        total=total,
        amount=amount,
        message=printable(message),
        sign=_SIGNS[JobStatus(job.status)],
    )


_SIGNS = {
    JobStatus.QUEUED: "[dim]·[/]",
    JobStatus.RUNNING: "[cyan]▶[/]",
    JobStatus.SUCCEEDED: "[green]✓[/]",
    JobStatus.FAILED: "[red]✗[/]",
    JobStatus.CANCELLED: "[yellow]■[/]",
    JobStatus.SKIPPED: "[yellow]–[/]",
}
