"""One run, by its number in the address: /run?id=7."""

from __future__ import annotations

import time

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard, noticed
from dashboard.components.common.notice import go_to, leave_notice
from dashboard.components.compare.sweep import show_sweep
from dashboard.components.details.fp16 import show_half
from dashboard.components.details.layers import show_layers
from dashboard.components.details.profile import show_profile
from dashboard.components.details.provenance import facts_table, show_provenance
from dashboard.components.jobs.progress import stepper
from dashboard.components.jobs.table import ended_details, queued_row, running_card
from dashboard.components.results.table import results_table
from dashboard.components.run_form.build_file import offer_build_file
from dashboard.components.run_form.prefill import leave_request
from dashboard.formats import ago, escape_markdown, is_missing, plural
from dashboard.queries import JobView
from db.enums import JobStatus
from db.models import Run
from engine.benchmark.sweep import find_best_operating_point
from engine.jobs import control
from engine.jobs.estimates import remaining_points
from engine.jobs.results import JobResult
from engine.results.columns import columns_of
from engine.results.notes import with_notes
from engine.runs.fields import facts_of
from engine.specs.comparability import SWEPT

REFRESH_S = 2.0
_KINDS = ("evaluation", "benchmark")
MOST_DONE = 8  # more jobs that succeeded are folded away, so that results stay in sight


def asked_for() -> int | None:
    """The number in the address, if it is one."""
    text = str(st.query_params.get("id", ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def list_runs() -> None:
    """Links to the newest runs."""
    runs = queries.recent_runs()
    if not runs:
        st.caption("Nothing was run yet.")
        st.page_link("app_pages/new_run.py", label="Queue a run", icon=":material/add_circle:")
    for run in runs:
        st.page_link(
            "app_pages/run.py",
            label=f"Run {run.id} · {escape_markdown(run.title)} · {ago(run.created_at)}",
            query_params={"id": str(run.id)},
        )


def jobs_part(run_id: int) -> None:
    """The run's jobs: live ones move, failed ones say why."""
    with guard():
        views = queries.run_jobs(run_id)
        live = [v for v in views if v.row.status in (JobStatus.QUEUED, JobStatus.RUNNING)]
        if not live and st.session_state.pop(f"run_{run_id}_live", False):
            st.rerun()
        st.session_state[f"run_{run_id}_live"] = bool(live)
        done = sum(view.row.status == JobStatus.SUCCEEDED for view in views)
        st.markdown(stepper([(view.row.kind, view.row.status) for view in views]))
        left = remaining_points((view.row for view in views), time.time())
        place = f" · benchmark {left.sentence()}" if left and left.in_progress and live else ""
        text = f"{done} of {plural(len(views), 'job')} done{place}"
        st.progress(done / max(1, len(views)), text=text)
        ended_well = [view for view in views if view.row.status == JobStatus.SUCCEEDED]
        folded = ended_well if len(ended_well) > MOST_DONE else []
        for view in views:
            if view not in folded:
                job_part(view)
        if folded:
            with st.expander(f"{plural(len(folded), 'job')} done", icon=":material/check_circle:"):
                for view in folded:
                    job_part(view)


def job_part(view: JobView) -> None:
    """One job, drawn by its state; succeeded ones in one line."""
    job = view.row
    if job.status == JobStatus.RUNNING:
        running_card(view)
    elif job.status == JobStatus.QUEUED:
        with st.container(border=True):
            queued_row(view)
    elif job.status == JobStatus.SUCCEEDED:
        title = f"{escape_markdown(job.title)} · {escape_markdown(job.message or 'done')}"
        st.markdown(f":green[:material/check_circle:] {title}")
    else:
        ended_details(view, key="run")


def sweep_part(rows: pd.DataFrame) -> None:
    """Where each setting of a sweep stands; nothing for a run at one setting."""
    spot = find_best_operating_point(rows)
    settings = spot.points[list(SWEPT)].drop_duplicates()
    if len(settings) > 1:
        with st.container(border=True):
            show_sweep(spot, "run_sweep")


def cancel_rest(run_id: int) -> None:
    """Callback: cancels what is left of a run."""
    with noticed():
        ids = control.cancel_run(queries.url(), run_id)
        leave_notice(f"Cancelled {plural(len(ids), 'job')}; what is done stays.")


def results_part(views: list[JobView]) -> None:
    """What the run measured, and what made it."""
    results = [JobResult.from_stored(view.row.result) for view in views]
    made = {digest for one in results for digest in (one.artifact, one.profile) if digest}
    evaluations = {one.evaluation for one in results if one.evaluation}
    benchmarks = {one.benchmark for one in results if one.benchmark}
    rows = with_notes(queries.results_of(made, evaluations, benchmarks), queries.outdated())
    st.subheader("Results")
    if rows.empty:
        st.caption("No build and no measurement so far.")
        return
    sweep_part(rows[rows["benchmark_id"].notna()])
    selection = results_table(rows, columns_of(column_set(rows)))
    places = selection["selection"]["rows"] or [0]
    row = rows.iloc[min(places[0], len(rows) - 1)]
    st.subheader(f"What made {escape_markdown(row['model_id'])} {row['precision']}")
    ids = [None if is_missing(row[c]) else int(row[c]) for c in ("evaluation_id", "benchmark_id")]
    behind = queries.provenance(row["artifact_digest"], *ids)
    show_provenance(behind)
    show_profile(behind.artifact, expanded=ids == [None, None])
    show_layers(behind.artifact)
    show_half(behind.artifact)
    offer_build_file(behind.artifact)


def column_set(rows: pd.DataFrame) -> str:
    """Which columns tell what a run found: those of accuracy, of speed, or of both."""
    evaluated, benchmarked = (rows[f"{kind}_id"].notna().any() for kind in _KINDS)
    if evaluated == benchmarked:
        return "Summary"
    return "Accuracy" if evaluated else "Speed"


def show_run(run: Run) -> None:
    """The whole page of one run."""
    st.title(f"Run {run.id}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{escape_markdown(run.title)}** · queued {ago(run.created_at)}", width="stretch"
        )
        if st.button("Clone with changes", icon=":material/content_copy:", key="clone"):
            leave_request(run.request)
            go_to("app_pages/new_run.py")
        views = queries.run_jobs(run.id)
        live = any(v.row.status in (JobStatus.QUEUED, JobStatus.RUNNING) for v in views)
        if live:
            st.button(
                "Cancel the rest",
                icon=":material/close:",
                key="cancel_rest",
                on_click=cancel_rest,
                args=(run.id,),
                help="What is done stays: the same request, queued again, goes on from there.",
            )
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Jobs")
        st.fragment(run_every=REFRESH_S if live else None)(jobs_part)(run.id)
    with right:
        st.subheader("Asked for")
        facts_table(facts_of(run.request), alt="What was asked for")
    results_part(views)


number = asked_for()
found = queries.find_run(number) if number is not None else None
if found is None:
    st.title("Runs")
    if "id" in st.query_params:
        st.error(f"There is no run {escape_markdown(str(st.query_params['id'])[:20])}.")
    list_runs()
else:
    show_run(found)
