"""Progress of runs: stages, running accuracy, and expected start of queued jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import streamlit as st

from dashboard import queries
from dashboard.charts.running_accuracy import RunningTop1, parse_running_top1, running_accuracy
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.jobs.machine import NOUNS, is_own, machine_holder, since
from dashboard.formats import duration, escape_markdown
from dashboard.queries import JobView
from db.enums import JobKind, JobStatus
from db.models import Job
from engine.config import settings
from engine.jobs.estimates import LiveJob, expected_starts, median_duration_s
from engine.jobs.host_lock import Holder
from engine.jobs.locks import is_locked
from engine.jobs.queue import WHEN_IDLE

STAGES = {
    JobKind.PREPARE_DATASET: "Dataset",
    JobKind.EXPORT: "Export",
    JobKind.BUILD: "Build",
    JobKind.BENCHMARK: "Benchmark",
    JobKind.EVALUATE_SHARD: "Shards",
    JobKind.EVALUATE: "Evaluate",
    JobKind.PROFILE: "Profile",
    JobKind.PEAK: "Peak",
    JobKind.EXCITATIONS: "SE gates",
    JobKind.LAYERS: "Layers",
    JobKind.DRAWS: "Draws",
}
MIN_POINTS = 2
MAX_POINTS = 400
MAX_HISTORIES = 8


def stepper(statuses: list[tuple[str, str]]) -> str:
    """The stages of a run as one line of markdown; `statuses` are (kind, status) of its jobs."""
    total = Counter(kind for kind, _ in statuses)
    done = Counter(kind for kind, status in statuses if status == JobStatus.SUCCEEDED)
    order = [*STAGES, *(kind for kind in total if kind not in set(STAGES))]
    parts = []
    for kind in order:
        if not total[kind]:
            continue
        stage_statuses = {status for k, status in statuses if k == kind}
        name = STAGES.get(JobKind(kind), kind) if kind in set(STAGES) else str(kind)
        count = f" {done[kind]}/{total[kind]}" if total[kind] > 1 else ""
        parts.append(f"{_stage_icon(stage_statuses)} {escape_markdown(name)}{count}")
    return " :gray[→] ".join(parts)


def _stage_icon(statuses: set[str]) -> str:
    """The icon of a stage: that of the most important status of its jobs."""
    for status, icon in (
        (JobStatus.FAILED, ":red[:material/error:]"),
        (JobStatus.CANCELLED, ":orange[:material/block:]"),
        (JobStatus.RUNNING, ":blue[:material/play_circle:]"),
        (JobStatus.QUEUED, ":gray[:material/schedule:]"),
        (JobStatus.SKIPPED, ":gray[:material/skip_next:]"),
    ):
        if status in statuses:
            return icon
    return ":green[:material/check_circle:]"


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is expected of the live jobs: a text for each queued one, and each job's end (s)."""

    texts: Mapping[int, str]
    ends_s: Mapping[int, float | None]

    def left_s(self, views: Iterable[JobView]) -> float | None:
        """Seconds until all of these jobs have ended; None where that is not known."""
        ends = [self.ends_s.get(view.row.id) for view in views]
        return None if None in ends or not ends else max(end for end in ends if end is not None)


def schedule(live: list[JobView]) -> Schedule:
    """`position 2, starts in about 40 s` by queued job; without a time where it is unknown.

    A job that waits for nothing but the machine says what occupies it.
    """
    medians = median_duration_s(queries.url(), (view.row.kind for view in live))
    seconds = {view.row.id: _remaining_s(view.row, medians.get(view.row.kind)) for view in live}
    jobs = [
        LiveJob(
            view.row.id,
            seconds[view.row.id],
            view.row.exclusive,
            view.needs,
            view.row.status == JobStatus.RUNNING,
        )
        for view in live
    ]
    starts = expected_starts(jobs, settings().slots)
    queued = [view for view in live if view.row.status == JobStatus.QUEUED]
    running = [view.row for view in live if view.row.status == JobStatus.RUNNING]
    held = machine_holder() if queued else None
    texts = {
        view.row.id: f"position {position}"
        + _start_text(starts.get(view.row.id))
        + ("" if view.waits_for else wait_text(view.row, running, held))
        for position, view in enumerate(queued, 1)
    }
    begin = {**starts, **{row.id: 0.0 for row in running}}
    ends = {i: _sum(begin.get(i), left) for i, left in seconds.items()}
    return Schedule(texts, ends)


def _sum(start_s: float | None, left_s: float | None) -> float | None:
    return None if start_s is None or left_s is None else start_s + left_s


def queue_positions(live: list[JobView]) -> Mapping[int, str]:
    """The texts of `schedule`."""
    return schedule(live).texts


def wait_text(job: Job, running: list[Job], held: Holder | None) -> str:
    """What keeps a job waiting though all its needs are met: a benchmark runs alone."""
    if job.priority <= WHEN_IDLE:
        return "; waits until the machine is idle"
    if held is not None and not is_own(held):
        what = NOUNS.get(held.kind, "a job")
        return f"; waits for {what} of another workbench on this machine, alone{since(held)}"
    blocking = [other for other in running if other.exclusive and held is not None]
    if job.exclusive:
        blocking += [other for other in running if not other.exclusive]
    if blocking:
        return f"; waits until {blocking[0].title} ends, as a benchmark runs alone"
    if job.exclusive and not running and is_locked(settings().host_lock, shared=False):
        return "; waits for a job of another workbench on this machine, as a benchmark runs alone"
    return ""


def _start_text(seconds: float | None) -> str:
    return "" if seconds is None else f", starts in about {duration(seconds)}"


def _remaining_s(job: Job, median_s: float | None) -> float | None:
    """Remaining seconds by the rate of the job, else the median duration of its kind."""
    if job.status == JobStatus.RUNNING and job.rate and job.total and job.done is not None:
        return (job.total - job.done) / job.rate
    return median_s


@st.cache_resource(show_spinner=False)
def _histories() -> dict[tuple[str, int, int], list[RunningTop1]]:
    """Accuracy over time of each running evaluation, by (database, job, attempt).

    Shared by all sessions.
    """
    return {}


def append_history(url: str, job: Job) -> list[RunningTop1]:
    """Adds the partial result of the job to its history, and returns the history."""
    histories = _histories()
    history = histories.setdefault((url, job.id, job.attempt), [])
    while len(histories) > MAX_HISTORIES:
        histories.pop(next(iter(histories)))
    point = parse_running_top1(job.done, job.partial_result)
    is_new = point is not None and (not history or history[-1].images < point.images)
    if point is not None and is_new and len(history) < MAX_POINTS:
        history.append(point)
    return history


def show_running_accuracy(job: Job) -> None:
    """The chart of top-1 and its interval over images, from two points on."""
    history = append_history(queries.url(), job)
    if len(history) < MIN_POINTS or not job.total:
        return
    last = history[-1]
    st.plotly_chart(
        running_accuracy(history, job.total, current_palette()),
        key=f"so_far_{job.id}",
        config=chart_config(),
        alt=f"Top-1 after {last.images:,} of {job.total:,} images: {last.top1:.1f} %, interval "
        f"{last.low:.1f} to {last.high:.1f} %",
    )
