"""Accuracy against throughput and against compute: the two charts, and what their marks mean."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import queries
from dashboard.charts.accuracy import accuracy_against_compute, accuracy_against_throughput
from dashboard.charts.accuracy_marks import MOST_INTERVALS
from dashboard.charts.published import ESTIMATE_BESIDE, ESTIMATE_NOTE, PUBLISHED_NOTE
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.filters import Chosen
from dashboard.components.compare.precision_pairs import warn_of_rough_speeds
from dashboard.components.compare.side_by_side import pick_from
from dashboard.formats import escape_markdown, plural
from engine.common.pareto import pareto_front
from engine.common.program import program
from engine.results import MEASURED_HERE
from engine.results.groups import accuracy_points, sound
from engine.results.notes import unreliable
from engine.results.published import with_estimates, with_gmacs
from engine.results.wording import of_frontier

NO_SPEED = (
    "No chart of throughput: nothing of this has a speed in the chosen setting. Benchmark it here "
    f"(New run), import its speed (`{program()} import benchmark`), or choose another setting "
    "above."
)
NO_SPEED_IMPORTED = (
    "No chart of throughput: these evaluations were imported, without a speed. Import it "
    f"(`{program()} import benchmark`, with the same source), or benchmark the models here."
)
APART_NOTE = (
    "≠: the images were prepared otherwise than for the rest (its card says how); it is neither "
    "on the frontier nor a candidate to ship."
)
CROWDED_NOTE = (
    f"Over {MOST_INTERVALS} points, intervals are drawn for the build to ship alone; every "
    f"point tells its own when pointed at."
)


def accuracy_charts(rows: pd.DataFrame, chosen: Chosen) -> None:
    """Accuracy against throughput, and against compute, of one set of images."""
    if chosen.accuracy is None:
        st.info("Nothing was evaluated yet: queue a run with the task Evaluate and a dataset.")
        return
    points = accuracy_points(rows)
    if points.empty:
        st.info(
            "No evaluation matches: choose other models, or clear the filter.",
            icon=":material/filter_alt_off:",
        )
        st.button("Show all models", on_click=clear_models)
        return
    with_speed = points["images_per_s"].notna().any()
    with st.grid(2 if with_speed else 1, min_column_width=420):
        if with_speed:
            with st.container(border=True, height="stretch"):
                st.markdown("**Accuracy against throughput**")
                throughput_chart(points, chosen)
        with st.container(border=True, height="stretch"):
            st.markdown("**Accuracy against compute**")
            compute_chart(points, chosen)
    if not with_speed:
        imported = bool((points["origin"] != MEASURED_HERE).all())
        st.info(NO_SPEED_IMPORTED if imported else NO_SPEED, icon=":material/speed:")
    marks_note(points, chosen)


def marks_note(points: pd.DataFrame, chosen: Chosen) -> None:
    """What the marks of the charts mean, as far as they are there."""
    several = points["precision"].nunique() > 1
    told = [
        f"Accuracy on {escape_markdown(chosen.images)}, with Wilson 95 % intervals.",
        "Arrows lead from fp32 to the lower precisions of one model, which have equal compute and "
        "are drawn side by side."
        if several
        else "",
        "Throughput with the range over its measured windows."
        if points["images_per_s"].notna().any()
        else "",
        "Filled: on the frontier; hollow: beaten; gray: outside the limits.",
        "?: a noisy or unstable speed." if any(unreliable(points)) else "",
        APART_NOTE if points["apart"].notna().any() else "",
        CROWDED_NOTE if len(points) > MOST_INTERVALS else "",
        "Select points (click, or box) to put them side by side.",
    ]
    st.caption(" ".join(filter(None, told)))


def clear_models() -> None:
    """Back to all models."""
    st.session_state["models"] = []


def compute_chart(points: pd.DataFrame, chosen: Chosen) -> None:
    """P2: one point an evaluation."""
    published = with_gmacs(queries.published()) if chosen.published else None
    points = with_estimates(points)
    drawn = points["compute_gmacs"].notna()
    if not drawn.any() and published is None:
        st.info("Nothing of this was exported here, and nothing of it is in the catalog.")
        return
    compared = points[points["apart"].isna()]
    best = compared.loc[compared["top1"].idxmax()]
    takeaway = f"Highest top-1: {best['label']} at {best['precision']}, {best['top1']:.2f} %."
    st.caption(escape_markdown(takeaway))
    figure = accuracy_against_compute(points, published, current_palette(), chosen.images)
    selectable(figure, "compute", takeaway)
    estimated = bool(points["estimated"].any())
    if published is not None:
        st.caption(f"{PUBLISHED_NOTE} {ESTIMATE_BESIDE if estimated else ''}")
    elif estimated:
        st.caption(ESTIMATE_NOTE)
    if not drawn.all():
        st.caption(f"{plural(int((~drawn).sum()), 'result')} without any known GMACs: not drawn.")


def throughput_chart(points: pd.DataFrame, chosen: Chosen) -> None:
    """P1: one point an evaluation with a benchmark in the chosen setting."""
    points = points[points["images_per_s"].notna()]
    fair = sound(points)
    takeaway = of_frontier(fair, pareto_front(-fair["images_per_s"], fair["top1"]))
    st.caption(takeaway)
    figure = accuracy_against_throughput(points, current_palette(), chosen.images, chosen.setting)
    selectable(figure, "throughput", takeaway)
    warn_of_rough_speeds(points)
    if chosen.published:
        st.caption("Published figures have no throughput on this machine, so none is drawn.")


def selectable(figure: go.Figure, key: str, takeaway: str) -> None:
    """A chart whose selected points go side by side."""
    st.plotly_chart(
        figure,
        key=key,
        config=chart_config(selectable=True),
        alt=takeaway,
        on_select=lambda: pick_from(key),
        selection_mode=("points", "box"),
    )
