"""Compare: recommendation, accuracy vs throughput and compute, details of the differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.accuracy import accuracy_against_compute
from dashboard.charts.parallel_coordinates import AXES, MAX_LINES, parallel_coordinates
from dashboard.charts.published import PUBLISHED_NOTE
from dashboard.components.common.demo import invitation
from dashboard.components.common.guard import guard
from dashboard.components.common.links import copy_link, note_unknown, show_link_notes
from dashboard.components.common.old_links import translate_query_params
from dashboard.components.common.purpose import page_purpose
from dashboard.components.common.theme import chart_config, choose_image_format, current_palette
from dashboard.components.compare.accuracy import accuracy_card
from dashboard.components.compare.accuracy_loss import Side, accuracy_loss_view, runtime_sides
from dashboard.components.compare.baseline import baseline_view
from dashboard.components.compare.constraints import latency_limit
from dashboard.components.compare.filters import Selection, choose
from dashboard.components.compare.latency import batch_view, latency_view
from dashboard.components.compare.leaderboard import leaderboard
from dashboard.components.compare.not_faster import not_faster_note
from dashboard.components.compare.precision_pairs import pairs_view
from dashboard.components.compare.recommendation import recommendation_card
from dashboard.components.compare.side_by_side import PICKED, picked_since_drawn, side_by_side
from dashboard.components.compare.sweep import sweep_view
from dashboard.formats import plural
from engine.results.groups import RuntimeChoice, accuracy_points, with_labels
from engine.results.published import with_gmacs
from engine.results.recommend import Constraints, Goal
from engine.specs.precisions import pairs

_OLD_PAIRS = {name.replace(" vs ", " − "): name for name in pairs()}
OLD_VALUES = {
    "pair": _OLD_PAIRS,
    "lost_pair": _OLD_PAIRS,
    "prefer": {"most accurate": str(Goal.ACCURACY), "fastest": str(Goal.THROUGHPUT)},
    "view": {
        "Lower precision": "Precision comparison",
        "Model against model": "Model vs baseline",
        "Where accuracy was lost": "Accuracy loss",
        "Sweet spot": "Best operating point",
        "All dimensions": "Parallel coordinates",
    },
}
"""Values of query parameters in links of earlier versions, and their names now."""
LIVE_REFRESH_S = 3


def first_page() -> None:
    """Without measurements: the published figures as reference points, and an invitation."""
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
        alt="Published top-1 of the 25 catalog models vs GMACs; not measured on this machine",
    )
    st.caption(
        "Published figures of 25 SE networks (16 timm, 2 mmcls, 7 PaddleClas). Your own "
        "measurements will be added in color. " + PUBLISHED_NOTE
    )


@st.fragment(run_every=LIVE_REFRESH_S)
def watch_for_results() -> None:
    """Shows how many jobs are left, and reloads the page after the first result."""
    with guard():
        live = queries.live_jobs()
        if not live or not queries.results()["measured_at"].isna().all():
            st.rerun()
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plural(len(live), 'job')}** queued or running. Results appear here.")
            st.page_link("app_pages/jobs.py", label="Show jobs", icon=":material/pending_actions:")


def first_pair(rows: pd.DataFrame) -> str:
    """The first pair with both precisions evaluated on these images, else with both measured."""
    for measured in (accuracy_points(rows), rows):
        precisions = set(measured["precision"])
        found = next((name for name, pair in pairs().items() if precisions >= set(pair)), None)
        if found is not None:
            return found
    return next(iter(pairs()))


def choose_pair(key: str, rows: pd.DataFrame, more: Iterable[str] = ()) -> str:
    """Selects two precisions to compare, of those that were measured, or one of `more`."""
    measured = set(rows["precision"])
    names = [name for name, pair in pairs().items() if measured >= set(pair)]
    options = [*names, *more] or list(pairs())
    note_unknown(key, options, "the comparison")
    name = st.segmented_control(
        "Compare",
        options,
        default=first_pair(rows) if names else options[0],
        required=True,
        key=key,
        bind="query-params",
        label_visibility="collapsed",
        wrap=True,
    )
    return str(name) if name in options else options[0]


def precision_comparison(rows: pd.DataFrame, selection: Selection) -> None:
    """Accuracy change, speed-up and size ratio between two precisions, within each runtime."""
    if selection.runtime == RuntimeChoice.BEST:
        rows = selection.rows(RuntimeChoice.EACH)
    pairs_view(rows, *pairs()[choose_pair("pair", rows)])


def accuracy_loss(rows: pd.DataFrame, selection: Selection) -> None:
    """Accuracy loss between two precisions or runtimes by class, with the images."""
    every = selection.rows(RuntimeChoice.EACH)
    in_runtimes = runtime_sides(every)
    name = choose_pair("lost_pair", rows, in_runtimes)
    if name in in_runtimes:
        accuracy_loss_view(every, in_runtimes[name])
        return
    first, second = map(Side, pairs()[name])
    accuracy_loss_view(rows, (first, second))


def latencies(rows: pd.DataFrame, selection: Selection) -> None:
    """Latency distribution and latency over time."""
    latency_view(rows)


def batch_scaling(rows: pd.DataFrame, selection: Selection) -> None:
    """Throughput and latency over the batch size, with a limit of the latency."""
    setting = selection.speed.values if selection.speed else None
    batch_view(rows, setting, *latency_limit())


def sweep(rows: pd.DataFrame, selection: Selection) -> None:
    """All configurations of a model, with a limit of the latency."""
    setting = selection.speed.values if selection.speed else None
    sweep_view(rows, setting, *latency_limit())


def all_figures(rows: pd.DataFrame, selection: Selection) -> None:
    """Accuracy, speed and costs of all builds as parallel coordinates."""
    points = accuracy_points(rows)
    complete = points[points[list(AXES)].notna().all(axis=1) & points["not_comparable"].isna()]
    if len(complete) < 2:
        st.info(
            "Fewer than two builds have both an accuracy on these images and a speed in this "
            "configuration. Select others above, or queue the missing measurements on New run.",
            icon=":material/stacked_line_chart:",
        )
        return
    limit = f" (the {MAX_LINES} measured last)" if len(complete) > MAX_LINES else ""
    takeaway = (
        f"One line per build, {plural(len(complete), 'build')}{limit}; up is better (↓: lower "
        f"values are at the top)."
    )
    st.caption(takeaway + " Drag along an axis to select a range.")
    figure = parallel_coordinates(complete, current_palette())
    st.plotly_chart(figure, key="dimensions", config=chart_config(), theme=None, alt=takeaway)


def model_vs_baseline(rows: pd.DataFrame, selection: Selection) -> None:
    """Top-1 of all builds vs a baseline build."""
    baseline_view(rows)


VIEWS: dict[str, Callable[[pd.DataFrame, Selection], None]] = {
    "Precision comparison": precision_comparison,
    "Model vs baseline": model_vs_baseline,
    "Accuracy loss": accuracy_loss,
    "Latency": latencies,
    "Batch scaling": batch_scaling,
    "Best operating point": sweep,
    "Parallel coordinates": all_figures,
}


def first_view(rows: pd.DataFrame) -> str:
    """The default view: precisions compared, or, with one precision, models compared."""
    several = accuracy_points(rows)["precision"].nunique() != 1
    return "Precision comparison" if several else "Model vs baseline"


@dataclass
class Answer:
    """The rows with `meets` and `recommended`, which the details read when they are drawn."""

    rows: pd.DataFrame


@st.fragment
def details(answer: Answer, selection: Selection) -> None:
    """The selected view; the others are not computed."""
    rows = answer.rows
    st.subheader("Details")
    note_unknown("view", list(VIEWS), "the view")
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
        VIEWS.get(str(name), precision_comparison)(rows, selection)


ANSWER = ["meets", "recommended"]
"""What the constraints say about each row."""


@st.fragment
def answer_section(answer: Answer, selection: Selection) -> None:
    """Chart, recommendation and leaderboard; a changed constraint draws only them again.

    The whole page follows where builds were picked, or where another build is recommended.
    """
    if picked_since_drawn():
        st.rerun(scope="app")
    drawn = answer.rows
    with guard():
        rows = selection.rows()
        chart, recommendation = st.columns([8, 5], gap="small")
        with recommendation:
            answer.rows, constraints = recommendation_card(rows, selection)
        limits = constraints or Constraints()
        with chart:
            published = accuracy_card(answer.rows, selection, limits)
        leaderboard(answer.rows, limits, published)
        not_faster_note(answer.rows)
    before, now = (found.reindex(columns=ANSWER) for found in (drawn, answer.rows))
    if not drawn.empty and not before.equals(now):
        st.rerun(scope="app")


MOBILE = """<style>@media (max-width: 640px) {
div:has(> .st-key-compare_filters) { order: 1; }
}</style>"""
"""On a phone the chart comes before the filters, which would fill the first screen."""
BOUND = (
    *("images", "setting", "runtime", "models", "x", "color", "published", "published_beside"),
    *("percentile", "most_latency", "most_drop", "least_top1", "most_size", "most_memory"),
    *("prefer", PICKED, "differences", "view", "pair", "lost_pair", "reference", "detail_model"),
    *("detail_percentile", "detail_latency"),
)
"""The widgets whose values a copied link pins."""

with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    st.title("Compare", width="content")
    copy_link(BOUND)
page_purpose("Compare")
with st.skeleton(height=520):
    tables = queries.tables()
if tables.evaluations.empty and tables.benchmarks.empty:
    first_page()
else:
    translate_query_params(OLD_VALUES)
    notes = st.container()
    with st.container(key="compare_answer"):
        st.html(MOBILE)
        selected = choose(tables)
        shown = Answer(pd.DataFrame())
        answer_section(shown, selected)
    side_by_side(shown.rows)
    details(shown, selected)
    choose_image_format()
    with notes:
        show_link_notes({key: st.session_state.get(key) for key in BOUND})
