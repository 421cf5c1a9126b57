"""One run, by its ID in the URL: /run?id=7."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard, guard_callback
from dashboard.components.common.notice import go_to, leave_notice
from dashboard.components.common.purpose import page_purpose, page_title
from dashboard.components.compare.sweep import show_sweep
from dashboard.components.details.calibration_draws import show_calibration_draws
from dashboard.components.details.fp16 import show_fp16
from dashboard.components.details.layer_errors import show_layer_errors
from dashboard.components.details.layers import show_layers
from dashboard.components.details.profile import show_profile
from dashboard.components.details.provenance import facts_table, show_provenance
from dashboard.components.jobs.progress import queue_positions, stepper
from dashboard.components.jobs.runs import cancel_run_popover, falling_titles
from dashboard.components.jobs.runs_table import show_runs
from dashboard.components.jobs.table import (
    job_details,
    no_dispatcher_warning,
    queued_row,
    running_card,
)
from dashboard.components.results.table import results_table
from dashboard.components.run_form.build_file import show_build_file_download
from dashboard.components.run_form.controls import CONTROLS
from dashboard.components.run_form.prefill import remember_request
from dashboard.formats import ago, escape_markdown, is_missing, plural
from dashboard.palette import STATUS_ICONS
from dashboard.queries import JobView
from db.enums import JobStatus
from db.models import Run
from engine.benchmark.sweep import find_best_operating_point
from engine.jobs import control, dispatcher
from engine.jobs.results import JobResult, benchmarks_of
from engine.results.columns import columns_in_set
from engine.results.notes import with_notes
from engine.runs.describe import describe_run
from engine.runs.fields import request_facts
from engine.specs.comparability import SWEPT

REFRESH_S = 2.0
IDLE_REFRESH_S = 4.0
_KINDS = ("evaluation", "benchmark")
MAX_SHOWN = 8  # with more jobs of a status, they are collapsed, so that results stay visible
SHOWN_FIRST = {JobStatus.QUEUED: 3, JobStatus.FAILED: MAX_SHOWN}
"""So many of a status are shown before the collapsed ones."""


def requested_run_id() -> int | None:
    """The run ID in the URL; None if there is none or it is no number."""
    text = str(st.query_params.get("id", ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def jobs_part(run_id: int) -> None:
    """The jobs of the run: progress of live ones, the error of failed ones."""
    with guard():
        dispatching = dispatcher.ensure_dispatcher()
        views = queries.run_jobs(run_id)
        live = [v for v in views if v.row.status in (JobStatus.QUEUED, JobStatus.RUNNING)]
        queued = any(v.row.status == JobStatus.QUEUED for v in live)
        if queued and not dispatching:
            no_dispatcher_warning()
        positions = queue_positions(queries.live_jobs()) if queued else {}
        was_live = st.session_state.get(f"run_{run_id}_live", bool(live))
        st.session_state[f"run_{run_id}_live"] = bool(live)
        if was_live != bool(live):
            st.rerun()  # the whole page, with the other interval
        done = sum(view.row.status == JobStatus.SUCCEEDED for view in views)
        st.markdown(stepper([(view.row.kind, view.row.status) for view in views]))
        text = f"{done} of {plural(len(views), 'job')} done"
        st.progress(done / max(1, len(views)), text=text)
        by_status: dict[str, list[JobView]] = {}
        for view in views:
            by_status.setdefault(view.row.status, []).append(view)
        folded = {
            status: found[SHOWN_FIRST.get(JobStatus(status), 0) :]
            for status, found in by_status.items()
            if len(found) > MAX_SHOWN and status != JobStatus.RUNNING
        }
        hidden = {view.row.id for found in folded.values() for view in found}
        titles = {view.row.id: view.row.title for view in views}
        needs = control.needs_of_live(queries.url()) if queued else []
        for view in views:
            if view.row.id not in hidden:
                falling = falling_titles(view, titles, needs)
                job_part(view, positions.get(view.row.id, ""), falling)
        for status, found in folded.items():
            folded_jobs(status, found)


def folded_jobs(status: str, views: list[JobView]) -> None:
    """Many jobs of one status, a line each, behind a click."""
    subject = plural(len(views), "more job" if SHOWN_FIRST.get(JobStatus(status)) else "job")
    word = "done" if status == JobStatus.SUCCEEDED else status
    with st.expander(f"{subject} {word}", icon=STATUS_ICONS[JobStatus(status)]):
        lines = (
            f"- {escape_markdown(view.row.title)}"
            + (
                f" · {escape_markdown(text)}"
                if (text := view.row.error or view.row.message)
                else ""
            )
            for view in views
        )
        st.markdown("\n".join(lines))


def job_part(view: JobView, position: str = "", falling: tuple[str, ...] = ()) -> None:
    """One job, drawn according to its state; a succeeded one in one line."""
    job = view.row
    if job.status == JobStatus.RUNNING:
        running_card(view, falling)
    elif job.status == JobStatus.QUEUED:
        with st.container(border=True):
            queued_row(view, position, falling)
    elif job.status == JobStatus.SUCCEEDED:
        title = f"{escape_markdown(job.title)} · {escape_markdown(job.message or 'done')}"
        st.markdown(f":green[:material/check_circle:] {title}")
    else:
        job_details(view, key="run")


def sweep_part(rows: pd.DataFrame) -> None:
    """The sweep of the run; nothing for a run with one configuration."""
    sweep = find_best_operating_point(rows)
    configurations = sweep.points[list(SWEPT)].drop_duplicates()
    if len(configurations) > 1:
        with st.container(border=True):
            show_sweep(sweep, "run_sweep")


def describe_part(run: Run) -> None:
    """Name, notes and tags of the run, to be changed."""
    request = run.request
    with st.form("describe", border=False):
        for name in ("name", "tags", "notes"):
            control = CONTROLS[name]
            key = f"describe_{name}_{run.id}"
            st.session_state.setdefault(key, control.to_widget(request.get(name) or ()))
            options = {"offered": queries.tags_in_use()} if name == "tags" else {}
            replace(control, key=key).draw(st, **options)
        st.form_submit_button("Save", on_click=_describe, args=(run.id,), icon=":material/save:")


def _describe(run_id: int) -> None:
    """Callback: stores name, notes and tags of a run."""
    held = {
        name: CONTROLS[name].from_widget(st.session_state[f"describe_{name}_{run_id}"])
        for name in ("name", "notes", "tags")
    }
    with guard_callback():
        describe_run(run_id, held["name"], held["notes"], held["tags"], queries.url())
        leave_notice(f"Run {run_id} saved.")


def results_part(views: list[JobView]) -> None:
    """The results of the run, with the provenance of the selected one."""
    results = [JobResult.from_stored(view.row.result) for view in views]
    artifacts = {
        digest for result in results for digest in (result.artifact, result.profile) if digest
    }
    evaluations = {result.evaluation for result in results if result.evaluation}
    benchmarks = benchmarks_of((view.row for view in views), queries.url())
    rows = with_notes(
        queries.results_of_measurements(artifacts, evaluations, benchmarks),
        queries.outdated_environments(),
    )
    st.subheader("Results")
    if rows.empty:
        st.caption("No builds or measurements yet.")
        return
    sweep_part(rows[rows["benchmark_id"].notna()])
    selection = results_table(rows, columns_in_set(column_set(rows)))
    positions = selection["selection"]["rows"] or [0]
    row = rows.iloc[min(positions[0], len(rows) - 1)]
    st.subheader(f"Provenance of {escape_markdown(row['model_id'])} {row['precision']}")
    ids = [None if is_missing(row[c]) else int(row[c]) for c in ("evaluation_id", "benchmark_id")]
    provenance = queries.provenance(row["artifact_digest"], *ids)
    show_provenance(provenance)
    show_profile(provenance.artifact, expanded=ids == [None, None])
    show_layers(provenance.artifact)
    show_layer_errors(provenance.artifact)
    show_calibration_draws(provenance.artifact)
    show_fp16(provenance.artifact)
    show_build_file_download(provenance.artifact)


def column_set(rows: pd.DataFrame) -> str:
    """The column set for the results of a run: accuracy, speed, or both (Summary)."""
    evaluated, benchmarked = (rows[f"{kind}_id"].notna().any() for kind in _KINDS)
    if evaluated == benchmarked:
        return "Summary"
    return "Accuracy" if evaluated else "Speed"


def show_run(run: Run) -> None:
    """The page of one run."""
    st.title(f"Run {run.id}")
    page_purpose("Run")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{escape_markdown(run.title)}** · queued {ago(run.created_at)}", width="stretch"
        )
        with st.popover("Name, notes and tags", icon=":material/label:"):
            describe_part(run)
        if st.button("Clone with changes", icon=":material/content_copy:", key="clone"):
            remember_request(run.request)
            go_to("app_pages/new_run.py")
        views = queries.run_jobs(run.id)
        live = any(v.row.status in (JobStatus.QUEUED, JobStatus.RUNNING) for v in views)
        if live:
            cancel_run_popover(
                run.id, [v for v in views if v.row.status in (JobStatus.QUEUED, JobStatus.RUNNING)]
            )
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Jobs")
        st.fragment(run_every=REFRESH_S if live else IDLE_REFRESH_S)(jobs_part)(run.id)
    with right:
        st.subheader("Configuration")
        facts_table(request_facts(run.request), alt="Configuration of the run")
    results_part(views)


run_id = requested_run_id()
run = queries.find_run(run_id) if run_id is not None else None
if run is None:
    page_title("Runs")
    if "id" in st.query_params:
        st.error(
            f"There is no run {escape_markdown(str(st.query_params['id'])[:20])}. Select one of "
            f"the runs below."
        )
    with guard():
        show_runs()
else:
    show_run(run)
