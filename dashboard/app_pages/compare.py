"""Accuracy against compute and speed, the build to ship, and what tells builds apart."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.accuracy import accuracy_against_compute
from dashboard.charts.parallel_coordinates import AXES, MOST_LINES, all_dimensions
from dashboard.charts.published import PUBLISHED_NOTE
from dashboard.components.common.demo import invitation
from dashboard.components.common.guard import guard
from dashboard.components.common.theme import chart_config, choose_image_format, current_palette
from dashboard.components.compare.accuracy import accuracy_charts
from dashboard.components.compare.accuracy_loss import lost_view
from dashboard.components.compare.baseline import against_view
from dashboard.components.compare.filters import Chosen, choose
from dashboard.components.compare.latency import batch_view, latency_view
from dashboard.components.compare.precision_pairs import pairs_view
from dashboard.components.compare.recommendation import ship_card
from dashboard.components.compare.side_by_side import side_by_side
from dashboard.components.compare.sweep import sweep_view
from dashboard.formats import plural
from engine.results.groups import accuracy_points, with_labels
from engine.results.published import with_gmacs
from engine.specs.precisions import pairs

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
        alt="Published top-1 of the 25 catalog models against GMACs; nothing of it was "
        "measured here",
    )
    st.caption(
        "Twenty-five SE networks as their authors published them (16 timm, 2 mmcls, 7 PaddleClas). "
        "Your own measurements will appear beside them in color. " + PUBLISHED_NOTE
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


def first_pair(rows: pd.DataFrame) -> str:
    """The first pair of which both precisions were evaluated on these images."""
    known = set(accuracy_points(rows)["precision"])
    usual = next(iter(pairs()))
    return next((name for name, pair in pairs().items() if known >= set(pair)), usual)


def precision_pair(key: str, rows: pd.DataFrame) -> tuple[str, str]:
    """Which two precisions are held against each other."""
    name = st.segmented_control(
        "Compare",
        list(pairs()),
        default=first_pair(rows),
        required=True,
        key=key,
        bind="query-params",
        label_visibility="collapsed",
    )
    return pairs().get(str(name), next(iter(pairs().values())))


def lower_precision(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P3 and P4."""
    pairs_view(rows, *precision_pair("pair", rows))


def lost_accuracy(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P10, and the images themselves."""
    lost_view(rows, *precision_pair("lost_pair", rows))


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
        st.info(
            "Fewer than two builds have an accuracy on these images and a speed at this setting: "
            "choose others above, or queue what is missing on New run.",
            icon=":material/stacked_line_chart:",
        )
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
