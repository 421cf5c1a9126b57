"""Where a run stands: its stages, the running accuracy, and when what waits will start."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import streamlit as st

from dashboard import queries
from dashboard.charts.running_accuracy import SoFar, running_accuracy, so_far
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.formats import duration, escape_markdown, plural
from dashboard.queries import JobView
from db.enums import JobKind, JobStatus
from db.models import Job
from engine.config import settings
from engine.jobs.estimates import LiveJob, expected_starts, median_duration_s, remaining_points

STAGES = {
    JobKind.PREPARE_DATASET: "Dataset",
    JobKind.EXPORT: "Export",
    JobKind.BUILD: "Build",
    JobKind.BENCHMARK: "Benchmark",
    JobKind.EVALUATE_SHARD: "Shards",
    JobKind.EVALUATE: "Evaluate",
    JobKind.PROFILE: "Profile",
    JobKind.PEAK: "Peak",
    JobKind.EXCITATIONS: "Excitations",
}
MIN_POINTS = 2
MIN_STAGES = 2
MAX_POINTS = 400
MAX_HISTORIES = 8


def stepper(statuses: list[tuple[str, str]]) -> str:
    """(kind, status) of a run's jobs as one line of markdown: each stage with its count."""
    total = Counter(kind for kind, _ in statuses)
    done = Counter(kind for kind, status in statuses if status == JobStatus.SUCCEEDED)
    order = [*STAGES, *(kind for kind in total if kind not in set(STAGES))]
    parts = []
    for kind in order:
        if not total[kind]:
            continue
        own = {status for k, status in statuses if k == kind}
        name = STAGES.get(JobKind(kind), kind) if kind in set(STAGES) else str(kind)
        count = f" {done[kind]}/{total[kind]}" if total[kind] > 1 else ""
        parts.append(f"{_mark(own)} {escape_markdown(name)}{count}")
    return " :gray[→] ".join(parts)


def _mark(statuses: set[str]) -> str:
    """One sign for a stage, the most telling of its jobs' states first."""
    for status, mark in (
        (JobStatus.FAILED, ":red[:material/error:]"),
        (JobStatus.CANCELLED, ":orange[:material/block:]"),
        (JobStatus.RUNNING, ":blue[:material/play_circle:]"),
        (JobStatus.QUEUED, ":gray[:material/schedule:]"),
        (JobStatus.SKIPPED, ":gray[:material/skip_next:]"),
    ):
        if status in statuses:
            return mark
    return ":green[:material/check_circle:]"


def show_live_runs(live: list[JobView]) -> None:
    """One card a run that has live jobs: its stages. A run of one job is told by that job."""
    runs = list(dict.fromkeys(run for view in live for run in view.runs))
    now = time.time()
    for run_id, (title, statuses) in queries.run_stages(runs).items():
        if len(statuses) < MIN_STAGES:
            continue
        with st.container(border=True, gap="xsmall"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{escape_markdown(title)}**", width="stretch")
                st.page_link(
                    "app_pages/run.py", label=f"Run {run_id}", query_params={"id": str(run_id)}
                )
            st.markdown(stepper(statuses))
            done = sum(status == JobStatus.SUCCEEDED for _, status in statuses)
            left = remaining_points((view.row for view in queries.run_jobs(run_id)), now)
            place = f" · benchmark {left.sentence()}" if left and left.in_progress else ""
            st.progress(
                done / len(statuses), text=f"{done} of {plural(len(statuses), 'job')} done{place}"
            )


def queue_positions(live: list[JobView]) -> Mapping[int, str]:
    """`position 2, starts in about 40 s` for each queued job, as far as it can be known."""
    usual = median_duration_s(queries.url(), (view.row.kind for view in live))
    jobs = [
        LiveJob(
            view.row.id,
            _seconds_left(view.row, usual.get(view.row.kind)),
            view.row.exclusive,
            view.needs,
            view.row.status == JobStatus.RUNNING,
        )
        for view in live
    ]
    starts = expected_starts(jobs, settings().slots)
    queued = [view.row.id for view in live if view.row.status == JobStatus.QUEUED]
    return {
        job_id: f"position {place}" + _in_about(starts.get(job_id))
        for place, job_id in enumerate(queued, 1)
    }


def _in_about(seconds: float | None) -> str:
    return "" if seconds is None else f", starts in about {duration(seconds)}"


def _seconds_left(job: Job, usual: float | None) -> float | None:
    """By its own rate where it has one, else what is usual for its kind."""
    if job.status == JobStatus.RUNNING and job.rate and job.total and job.done is not None:
        return (job.total - job.done) / job.rate
    return usual


@st.cache_resource(show_spinner=False)
def _histories() -> dict[tuple[str, int, int], list[SoFar]]:
    """Of each running evaluation what was seen, by (database, job, attempt); for all windows."""
    return {}


def append_history(url: str, job: Job) -> list[SoFar]:
    """Adds what the job says now to its history, and returns that."""
    histories = _histories()
    seen = histories.setdefault((url, job.id, job.attempt), [])
    while len(histories) > MAX_HISTORIES:
        histories.pop(next(iter(histories)))
    now = so_far(job.done, job.partial_result)
    if now is not None and len(seen) < MAX_POINTS and (not seen or seen[-1].images < now.images):
        seen.append(now)
    return seen


def show_running_accuracy(job: Job) -> None:
    """The line with its narrowing band, once there are two points."""
    seen = append_history(queries.url(), job)
    if len(seen) < MIN_POINTS or not job.total:
        return
    last = seen[-1]
    st.plotly_chart(
        running_accuracy(seen, job.total, current_palette()),
        key=f"so_far_{job.id}",
        config=chart_config(),
        alt=f"Top-1 so far {last.top1:.1f} %, interval {last.low:.1f} to {last.high:.1f} %, after "
        f"{last.images:,} of {job.total:,} images",
    )
