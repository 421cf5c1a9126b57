"""New run: select model, weights, precisions, tasks and dataset; check the summary; queue."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from dashboard import queries
from dashboard.components.common.guard import guard
from dashboard.components.common.notice import go_to, leave_notice
from dashboard.components.common.purpose import page_title
from dashboard.components.run_form import choices
from dashboard.components.run_form.build_file import fill_from_build_file
from dashboard.components.run_form.controls import Form, is_prefilled
from dashboard.components.run_form.models import (
    choose_models,
    draw_kept_models,
    first_weights,
    offer_another_source,
    other_models,
    require_models,
)
from dashboard.components.run_form.options import draw_options
from dashboard.components.run_form.prefill import apply_remembered_request
from dashboard.components.run_form.to_fix import show_what_failed
from dashboard.formats import ago, escape_markdown, message
from db.enums import WeightsKind
from db.models import Run
from engine.errors import InvalidRequest
from engine.jobs import dispatcher
from engine.runs.durations import estimate_run
from engine.runs.placement import host_choices
from engine.runs.plan import Plan, plan
from engine.runs.request import RunRequest
from engine.runs.submit import submit
from engine.runs.work import Work
from engine.runtimes.registry import label_of


def gather() -> RunRequest:
    """Draws the form; returns the request. Raises InvalidRequest with all problems."""
    refused = fill_from_build_file()
    form = Form()
    if refused:
        form.problems.append(refused)
    chosen = choose_models()
    kind, model_id = chosen.kind, chosen.first
    form.store("model_id", lambda: require_models(chosen))
    identified = choices.choose_weights(form, chosen)
    weights = form.fields["weights"]
    offer_another_source(chosen, weights)
    draw_kept_models()
    form.store("other_models", lambda: other_models(chosen, weights))
    with form.collect_problems():
        weights = form.fields["weights"] = first_weights(chosen, weights)
    dataset = choices.choose_dataset(form, kind)
    trained = weights["kind"] != WeightsKind.RANDOM
    form.draw("precisions", bind="query-params")
    form.draw("runtimes", bind="query-params", format_func=label_of)
    choices.choose_tasks(form, can_evaluate=dataset is not None and trained)
    choices.check_classes(form, identified, model_id)
    _choose_hosts(form)
    draw_options(form, kind, model_id)
    _describe(form)
    return form.request()


def _choose_hosts(form: Form) -> None:
    """The hosts that measure; nothing while there is only one."""
    offered = host_choices(queries.url())
    if len(offered) > 1 or is_prefilled("hosts"):
        form.draw("hosts", offered=offered, placeholder="any host")


def _describe(form: Form) -> None:
    """Name, notes and tags of the run."""
    described = any(map(is_prefilled, ("name", "notes", "tags")))
    with st.expander("Name, notes and tags", icon=":material/label:", expanded=described):
        left, right = st.columns(2)
        form.draw("name", left, placeholder="models and precisions", max_chars=100)
        form.draw("tags", right, offered=queries.tags_in_use(), placeholder="none")
        form.draw("notes", max_chars=5000)


def show_plan(found: Plan) -> None:
    """Problems, steps, warnings and notes of the run."""
    for problem in found.problems:
        st.error(message(problem), icon=":material/block:")
    if found.steps:
        steps = "\n".join(f"{n}. {message(step)}" for n, step in enumerate(found.steps, 1))
        st.markdown(steps)
    if found.warnings:
        st.warning(bullets("Warnings", found.warnings), icon=":material/warning:")
    if found.notes:
        st.info(bullets("Notes", found.notes), icon=":material/info:")


def bullets(title: str, sentences: tuple[str, ...]) -> str:
    """A titled list as markdown."""
    return "\n".join([f"**{title}**", *(f"- {message(sentence)}" for sentence in sentences)])


def show_estimate(request: RunRequest, work: Work) -> None:
    """The estimated duration of the run by stage, and its end; the benchmarks with their limits."""
    duration = estimate_run(request, work, queries.url())
    st.caption(f":material/timer: {escape_markdown(duration.sentence())}")
    if duration.benchmarks is not None:
        st.caption(f":material/speed: {escape_markdown(duration.benchmarks.sentence())}")


def queue(request: RunRequest) -> None:
    """Queues the run and opens Jobs."""
    run_id = submit(request, queries.url())
    dispatcher.ensure_dispatcher()
    leave_notice(f"Queued as run {run_id}.")
    go_to("app_pages/jobs.py")


def _models(run: Run) -> list[str]:
    """The ids of all models of a run."""
    others = run.request.get("other_models") or ()
    return [run.request.get("model_id"), *(model.get("model_id") for model in others)]


def earlier_runs(model_id: str) -> None:
    """Links to the last three runs of the model."""
    runs = [run for run in queries.recent_runs(50) if model_id in _models(run)][:3]
    if runs:
        st.markdown("**Earlier runs of this model**")
    for run in runs:
        st.page_link(
            "app_pages/run.py",
            label=f"Run {run.id} · {escape_markdown(run.title)} · {ago(run.created_at)}",
            query_params={"id": str(run.id)},
        )


page_title("New run")
try:
    if apply_remembered_request():
        st.info("Prefilled from an earlier run; edit it and queue it.", icon=":material/edit:")
except ValidationError:
    st.warning(
        "This run cannot be cloned: it was made by an incompatible version of the workbench. Fill "
        "in the form instead."
    )
show_what_failed()
left, right = st.columns([3, 2], gap="large")
request: RunRequest | None = None
missing: str | None = None
with left, guard():
    try:
        request = gather()
    except InvalidRequest as error:
        missing = str(error)
with right, st.container(border=True):
    st.markdown("**Summary**")
    planned = plan(request, queries.url()) if request else Plan((), (missing or "",), ())
    show_plan(planned)
    ready = request is not None and not planned.problems
    if request is not None and planned.work is not None:
        with guard():
            show_estimate(request, planned.work)
    if st.button(
        "Queue run", type="primary", icon=":material/play_arrow:", disabled=not ready, key="queue"
    ):
        with guard():
            assert request is not None
            queue(request)
if request is not None:
    with right:
        earlier_runs(request.model_id)
