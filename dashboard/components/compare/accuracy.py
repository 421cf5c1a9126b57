"""The charts accuracy vs throughput and accuracy vs compute, with the notes on their marks."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import queries
from dashboard.charts.accuracy import accuracy_against_compute, accuracy_against_throughput
from dashboard.charts.accuracy_marks import MAX_INTERVALS
from dashboard.charts.published import ESTIMATE_NOTE, ESTIMATE_NOTE_SHORT, PUBLISHED_NOTE
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.filters import Selection
from dashboard.components.compare.precision_pairs import warn_about_unreliable_speeds
from dashboard.components.compare.side_by_side import pick_from
from dashboard.formats import escape_markdown, plural
from engine.common.pareto import pareto_front
from engine.common.program import program
from engine.results import MEASURED_HERE
from engine.results.groups import accuracy_points, pareto_candidates, runtimes_of
from engine.results.notes import is_unreliable
from engine.results.published import with_estimates, with_gmacs
from engine.results.wording import pareto_front_summary
from engine.runtimes.registry import RUNTIMES

NO_SPEED = (
    "No throughput chart: these builds have no benchmark in the selected configuration. Benchmark "
    f"them (New run), import a benchmark (`{program()} import benchmark`), or select another "
    "configuration above."
)
NO_SPEED_IMPORTED = (
    "No throughput chart: these evaluations were imported without a benchmark. Import one "
    f"(`{program()} import benchmark`, with the same source), or benchmark the models here."
)
NOT_COMPARABLE_NOTE = (
    "≠: not comparable, because its preprocessing differs from the others (see its hover card). It "
    "is neither on the Pareto front nor recommended."
)
CROWDED_NOTE = (
    f"With more than {MAX_INTERVALS} points, only the recommended build has an interval; the hover "
    f"card of a point shows its own."
)


def accuracy_charts(rows: pd.DataFrame, selection: Selection) -> None:
    """Accuracy vs throughput and accuracy vs compute, on one image set."""
    if selection.accuracy is None:
        st.info("No evaluation yet. Queue a run with the task Evaluate and a dataset.")
        return
    points = accuracy_points(rows)
    if points.empty:
        st.info(
            "No evaluation matches. Select other models, or clear the filter.",
            icon=":material/filter_alt_off:",
        )
        st.button("Show all models", on_click=clear_models)
        return
    with_speed = points["images_per_s"].notna().any()
    with st.grid(2 if with_speed else 1, min_column_width=420):
        if with_speed:
            with st.container(border=True, height="stretch"):
                st.markdown("**Accuracy vs throughput**")
                throughput_chart(points, selection)
        with st.container(border=True, height="stretch"):
            st.markdown("**Accuracy vs compute**")
            compute_chart(points, selection)
    if not with_speed:
        imported = bool((points["origin"] != MEASURED_HERE).all())
        st.info(NO_SPEED_IMPORTED if imported else NO_SPEED, icon=":material/speed:")
    marks_note(points, selection)


def marks_note(points: pd.DataFrame, selection: Selection) -> None:
    """Explains the marks that occur in the charts."""
    several = points["precision"].nunique() > 1
    notes = [
        f"Accuracy on {escape_markdown(selection.images)}, with Wilson 95 % intervals.",
        "Arrows: from fp32 to the lower precisions of the same model, which have equal GMACs."
        if several
        else "",
        "Throughput with its 95 % interval between rounds."
        if points["images_per_s"].notna().any()
        else "",
        "Filled: on the Pareto front. Hollow: dominated. Gray: outside the constraints.",
        "?: unreliable speed (unstable or with interference)."
        if any(is_unreliable(points))
        else "",
        _tags_note(points),
        NOT_COMPARABLE_NOTE if points["not_comparable"].notna().any() else "",
        CROWDED_NOTE if len(points) > MAX_INTERVALS else "",
        "Select points (click or box) to compare them side by side.",
    ]
    st.caption(" ".join(filter(None, notes)))


def _tags_note(points: pd.DataFrame) -> str:
    """What the tags of runtimes mean, where several are shown."""
    names = runtimes_of(points["runtime"])
    if len(names) < 2:
        return ""
    meanings = (f"{RUNTIMES[name].tag}: {RUNTIMES[name].label}" for name in names)
    return f"Beside a mark, its runtime ({'; '.join(meanings)})."


def clear_models() -> None:
    """Callback: shows all models again."""
    st.session_state["models"] = []


def compute_chart(points: pd.DataFrame, selection: Selection) -> None:
    """Accuracy vs compute, one point per evaluation."""
    published = with_gmacs(queries.published()) if selection.published else None
    points = with_estimates(points)
    drawn = points["compute_gmacs"].notna()
    if not drawn.any() and published is None:
        st.info("No GMACs: these models were not exported here and are not in the catalog.")
        return
    comparable = points[points["not_comparable"].isna()]
    best = comparable.loc[comparable["top1"].idxmax()]
    takeaway = f"Highest top-1: {best['label']} {best['precision']}, {best['top1']:.2f} %."
    st.caption(escape_markdown(takeaway))
    figure = accuracy_against_compute(points, published, current_palette(), selection.images)
    selectable(figure, "compute", takeaway)
    estimated = bool(points["estimated"].any())
    if published is not None:
        st.caption(f"{PUBLISHED_NOTE} {ESTIMATE_NOTE_SHORT if estimated else ''}")
    elif estimated:
        st.caption(ESTIMATE_NOTE)
    if not drawn.all():
        st.caption(f"Not drawn: {plural(int((~drawn).sum()), 'result')} without known GMACs.")


def throughput_chart(points: pd.DataFrame, selection: Selection) -> None:
    """Accuracy vs throughput, one point per evaluation with a benchmark."""
    points = points[points["images_per_s"].notna()]
    valid = pareto_candidates(points)
    takeaway = pareto_front_summary(valid, pareto_front(-valid["images_per_s"], valid["top1"]))
    st.caption(takeaway)
    figure = accuracy_against_throughput(
        points, current_palette(), selection.images, selection.setting
    )
    selectable(figure, "throughput", takeaway)
    warn_about_unreliable_speeds(points)
    if selection.published:
        st.caption("Published figures are not drawn: they have no throughput on this machine.")


def selectable(figure: go.Figure, key: str, takeaway: str) -> None:
    """A chart whose selected points are added to the side-by-side comparison."""
    st.plotly_chart(
        figure,
        key=key,
        config=chart_config(selectable=True),
        alt=takeaway,
        on_select=lambda: pick_from(key),
        selection_mode=("points", "box"),
    )
