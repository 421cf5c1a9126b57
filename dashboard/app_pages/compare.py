"""Accuracy against compute and speed, the build to ship, and what tells builds apart."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import queries, takeaways
from dashboard.charts.accuracy import accuracy_against_compute, accuracy_against_throughput
from dashboard.charts.accuracy_marks import MOST_INTERVALS
from dashboard.charts.dimensions import AXES, MOST_LINES, all_dimensions
from dashboard.charts.published import (
    ESTIMATE_BESIDE,
    ESTIMATE_NOTE,
    PUBLISHED_NOTE,
    with_estimates,
    with_gmacs,
)
from dashboard.charts.sweep import doubtful
from dashboard.comparables import accuracy_points, with_labels
from dashboard.components.against_view import against_view
from dashboard.components.compare_filters import Chosen, choose
from dashboard.components.demo import invitation
from dashboard.components.guard import guard
from dashboard.components.latency_view import batch_view, latency_view
from dashboard.components.lost_view import lost_view
from dashboard.components.pairs_view import pairs_view, warn_of_rough_speeds
from dashboard.components.ship import ship_card
from dashboard.components.side_by_side import pick_from, side_by_side
from dashboard.components.sweep_view import sweep_view
from dashboard.components.theme import chart_config, choose_image_format, current_palette
from dashboard.formats import escape_markdown, plural
from engine.frontier import frontier
from engine.results import MEASURED_HERE

PAIRS = {"int8 − fp16": ("fp16", "int8"), "int8 − fp32": ("fp32", "int8")}
PAIRS |= {"fp16 − fp32": ("fp32", "fp16")}
NO_SPEED = (
    "No chart of throughput: nothing of this has a speed in the chosen setting. Benchmark it here "
    "(New run), import its speed (`python -m engine import benchmark`), or choose another setting "
    "above."
)
NO_SPEED_IMPORTED = (
    "No chart of throughput: these evaluations were imported, without a speed. Import it "
    "(`python -m engine import benchmark`, with the same source), or benchmark the models here."
)
CROWDED_NOTE = (
    f"Over {MOST_INTERVALS} points, intervals are drawn for the build to ship alone; every "
    f"point tells its own when pointed at."
)
APART_NOTE = (
    "≠: the images were prepared otherwise than for the rest (its card says how); it is neither "
    "on the frontier nor a candidate to ship."
)
LIVE_REFRESH_S = 3


def first_page() -> None:
    """Nothing measured yet: the published rows as reference points, and one button."""
    if queries.has_live_jobs():
        watch_for_results()
    else:
        invitation()
    st.subheader("Published reference points")
    published = with_gmacs(queries.published())
    points = accuracy_points(with_labels(queries.results()))
    figure = accuracy_against_compute(points, published, current_palette(), "ImageNet-1k")
    st.plotly_chart(
        figure,
        key="reference",
        config=chart_config(),
        alt="Published top-1 of the 25 catalogue models against GMACs; nothing of it was "
        "measured here",
    )
    st.caption(
        "Twenty-five SE networks as their authors published them (16 timm, 2 mmcls, 7 PaddleClas). "
        "Your own measurements will appear beside them in colour. " + PUBLISHED_NOTE
    )


@st.fragment(run_every=LIVE_REFRESH_S)
def watch_for_results() -> None:
    """Says that the first results are on their way, and reloads the page when one is there."""
    with guard():
        live = queries.live_jobs()
        if not live or not queries.results()["measured_at"].isna().all():
            st.rerun()
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plural(len(live), 'job')} to go** until the last result is there.")
            st.page_link(
                "app_pages/jobs.py", label="Watch the jobs", icon=":material/pending_actions:"
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
        "Filled: on the frontier; hollow: beaten; grey: outside the limits.",
        "?: a noisy or unstable speed." if any(doubtful(points)) else "",
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
        st.info("Nothing of this was exported here, and nothing of it is in the catalogue.")
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
    sound = points[~points["at_chance"].fillna(False).astype(bool) & points["apart"].isna()]
    kept = frontier(-sound["images_per_s"], sound["top1"])
    takeaway = takeaways.of_frontier(sound, kept)
    st.caption(takeaway)
    figure = accuracy_against_throughput(points, current_palette(), chosen.images, chosen.setting)
    selectable(figure, "throughput", takeaway)
    warn_of_rough_speeds(points)
    if chosen.published:
        st.caption("Published figures have no throughput on this machine, so none is drawn.")


def selectable(figure: object, key: str, takeaway: str) -> None:
    """A chart whose selected points go side by side."""
    st.plotly_chart(
        figure,
        key=key,
        config=chart_config(selectable=True),
        alt=takeaway,
        on_select=lambda: pick_from(key),
        selection_mode=("points", "box"),
    )


def precision_pair(key: str) -> tuple[str, str]:
    """Which two precisions are held against each other."""
    name = st.segmented_control(
        "Compare",
        list(PAIRS),
        default=next(iter(PAIRS)),
        required=True,
        key=key,
        bind="query-params",
        label_visibility="collapsed",
    )
    return PAIRS.get(str(name), next(iter(PAIRS.values())))


def lower_precision(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P3 and P4."""
    pairs_view(rows, *precision_pair("pair"))


def lost_accuracy(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P10, and the images themselves."""
    lost_view(rows, *precision_pair("lost_pair"))


def latencies(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P5."""
    latency_view(rows)


def scaling(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P6; percentile and limit are those of the deployment."""
    setting, asked = chosen.speed.values if chosen.speed else None, st.session_state
    batch_view(rows, setting, asked.get("percentile"), asked.get("most_latency"))


def sweep(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P6b: every setting; percentile and limit are those of the deployment."""
    setting, asked = chosen.speed.values if chosen.speed else None, st.session_state
    sweep_view(rows, setting, asked.get("percentile"), asked.get("most_latency"))


def dimensions(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P7."""
    points = accuracy_points(rows)
    complete = points[points[list(AXES)].notna().all(axis=1) & points["apart"].isna()]
    if len(complete) < 2:
        st.info("Fewer than two builds have every figure.", icon=":material/stacked_line_chart:")
        return
    most = f"; the {MOST_LINES} measured last" if len(complete) > MOST_LINES else ""
    takeaway = f"{plural(len(complete), 'build')}, one line each{most}; up is better."
    st.caption(takeaway + " Drag along an axis to keep a range.")
    figure = all_dimensions(complete, current_palette())
    st.plotly_chart(figure, key="dimensions", config=chart_config(), theme=None, alt=takeaway)


def against(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P3b: every build against one of them."""
    against_view(rows)


VIEWS: dict[str, Callable[[pd.DataFrame, Chosen], None]] = {
    "Lower precision": lower_precision,
    "Model against model": against,
    "Where accuracy was lost": lost_accuracy,
    "Latency": latencies,
    "Batch scaling": scaling,
    "Sweet spot": sweep,
    "All dimensions": dimensions,
}


def first_view(rows: pd.DataFrame) -> str:
    """What is asked first: what a lower precision costs, or, of one precision, who is better."""
    several = accuracy_points(rows)["precision"].nunique() != 1
    return "Lower precision" if several else "Model against model"


def closer_look(rows: pd.DataFrame, chosen: Chosen) -> None:
    """One view at a time: only the open one is computed."""
    st.subheader("A closer look")
    name = st.segmented_control(
        "View",
        list(VIEWS),
        default=first_view(rows),
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
        wrap=True,
    )
    with guard(), st.skeleton(height=320):
        VIEWS.get(str(name), lower_precision)(rows, chosen)


st.title("Compare")
with st.skeleton(height=520):
    tables = queries.tables()
if tables.evaluations.empty and tables.benchmarks.empty:
    first_page()
else:
    choices = choose(tables)
    measured = ship_card(choices.rows(), choices)
    accuracy_charts(measured, choices)
    side_by_side(measured)
    closer_look(measured, choices)
    choose_image_format()
