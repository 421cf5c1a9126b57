"""The accuracy chart of Compare: the choice of its x-axis and colors, and notes on its marks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import queries
from dashboard.charts.accuracy import ChartOptions, accuracy_chart, drawable
from dashboard.charts.accuracy_marks import MAX_INTERVALS, ColorBy
from dashboard.charts.cost_axes import (
    COMPUTE,
    COST_AXES,
    LATENCY,
    THROUGHPUT,
    CostAxis,
    axis_named,
)
from dashboard.charts.published import ESTIMATE_NOTE, ESTIMATE_NOTE_SHORT, PUBLISHED_NOTE
from dashboard.components.common.links import note_unknown
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.filters import Selection, published_toggle
from dashboard.components.compare.precision_pairs import warn_about_unreliable_speeds
from dashboard.components.compare.side_by_side import pick_from
from dashboard.formats import escape_markdown, plural
from dashboard.palette import Palette
from engine.common.pareto import pareto_front
from engine.common.program import program
from engine.results import MEASURED_HERE
from engine.results.groups import accuracy_points, pareto_candidates, runtimes_of
from engine.results.notes import is_unreliable
from engine.results.published import with_estimates, with_gmacs
from engine.results.recommend import Constraints
from engine.results.wording import pareto_front_summary
from engine.runtimes.registry import RUNTIMES, label_of, name_in

NO_SPEED = (
    "No speed: these builds have no benchmark in the selected configuration. Benchmark "
    f"them (New run), import a benchmark (`{program()} import benchmark`), or select another "
    "configuration above."
)
NO_SPEED_IMPORTED = (
    "No speed: these evaluations were imported without a benchmark. Import one "
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
Key = tuple[Any, ...]
MAX_FIGURES = 32
LIMITS = {"size_mb": "max_size_mb", "peak_rss_mb": "max_memory_mb"}
"""The constraint that bounds an axis, by column; latency has its own percentile."""


def accuracy_card(rows: pd.DataFrame, selection: Selection, constraints: Constraints) -> bool:
    """Accuracy over speed or cost on one image set, with the choice of x and of colors.

    Returns whether published figures are shown.
    """
    if selection.accuracy is None:
        st.info("No evaluation yet. Queue a run with the task Evaluate and a dataset.")
        return False
    points = with_estimates(accuracy_points(rows))
    if points.empty:
        st.info(
            "No evaluation matches. Select other models, or clear the filter.",
            icon=":material/filter_alt_off:",
        )
        st.button("Show all models", on_click=clear_models)
        return False
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            axis = _choose_axis(points, constraints)
            color_by = _choose_colors()
            published = published_toggle(selection)
        options = ChartOptions(
            selection.images,
            selection.setting,
            with_gmacs(queries.published()) if published else None,
            color_by,
            _limit_on(axis, constraints),
            constraints.min_top1,
        )
        _charts(points, axis, options, (selection.key(), constraints))
        _notes(points, axis, options, selection)
    return published


def clear_models() -> None:
    """Callback: shows all models again."""
    st.session_state["models"] = []


def _choose_axis(points: pd.DataFrame, constraints: Constraints) -> CostAxis:
    """Selects the x-axis, of those on which a point has a figure; throughput first."""
    axes = [axis_named(name, constraints.percentile) for name in COST_AXES]
    names = [axis.name for axis in axes if len(drawable(points, axis))] or [COMPUTE.name]
    note_unknown("x", names, "the x-axis")
    chosen = st.selectbox(
        "Accuracy vs",
        names,
        key="x",
        bind="query-params",
        width=150,
    )
    return axis_named(str(chosen), constraints.percentile)


def _choose_colors() -> ColorBy:
    names = [str(choice) for choice in ColorBy]
    note_unknown("color", names, "the colors")
    chosen = st.segmented_control(
        "Colors by", names, default=names[0], required=True, key="color", bind="query-params"
    )
    return ColorBy(str(chosen))


def _limit_on(axis: CostAxis, constraints: Constraints) -> float | None:
    """The constraint on the figure of an axis."""
    if axis.name == LATENCY.name:
        return constraints.max_latency_ms
    name = LIMITS.get(axis.column)
    return getattr(constraints, name) if name else None


def _charts(points: pd.DataFrame, axis: CostAxis, options: ChartOptions, rows_key: Key) -> None:
    """One chart; one for each runtime where its marks would cover those of another runtime.

    `rows_key` stands for `points` in the cache of figures.
    """
    runtimes = runtimes_of(points["runtime"])
    takeaway = _takeaway(points, axis)
    key = (*rows_key, axis, options.color_by, options.published is not None)
    if not axis.of_build or len(runtimes) < 2 or not _in_several_runtimes(points):
        figure = _figure(key, None, current_palette(), points, axis, options)
        _selectable(figure, "chart", takeaway)
        return
    names = points["runtime"].map(name_in, na_action="ignore")
    with st.grid(len(runtimes), min_column_width=300):
        for runtime in runtimes:
            own = points[names.isna() | (names == runtime)].assign(several_runtimes=False)
            with st.container():
                st.markdown(f"**{label_of(runtime)}**")
                shared = replace(options, frame=points)
                figure = _figure(key, runtime, current_palette(), own, axis, shared)
                _selectable(figure, f"chart_{runtime}", f"In {label_of(runtime)}: {takeaway}")


@st.cache_resource(show_spinner=False, max_entries=MAX_FIGURES)
def _figure(
    key: Key,
    runtime: str | None,
    palette: Palette,
    _points: pd.DataFrame,
    _axis: CostAxis,
    _options: ChartOptions,
) -> go.Figure:
    """The chart, shared by all sessions: do not modify it. `key` and `runtime`: what it shows."""
    return accuracy_chart(_points, _axis, palette, _options)


def _in_several_runtimes(points: pd.DataFrame) -> bool:
    """Whether a build is shown in more than one runtime."""
    return bool(points.duplicated("artifact_digest").any())


def _takeaway(points: pd.DataFrame, axis: CostAxis) -> str:
    """What the chart shows, in one sentence."""
    valid = pareto_candidates(points)
    if axis.name == THROUGHPUT.name:
        valid = valid[valid["images_per_s"].notna()]
        return pareto_front_summary(valid, pareto_front(-valid["images_per_s"], valid["top1"]))
    comparable = points[points["not_comparable"].isna()]
    best = comparable.loc[comparable["top1"].idxmax()]
    return f"Highest top-1: {best['label']} {best['precision']}, {best['top1']:.2f} %."


def _selectable(figure: go.Figure, key: str, takeaway: str) -> None:
    """A chart whose selected points are added to the side-by-side comparison."""
    st.plotly_chart(
        figure,
        key=key,
        config=chart_config(selectable=True),
        alt=f"{figure.layout.xaxis.title.text}: {takeaway}",
        on_select=lambda: pick_from(key),
        selection_mode=("points", "box"),
    )
    st.caption(escape_markdown(takeaway))


def _notes(
    points: pd.DataFrame, axis: CostAxis, options: ChartOptions, selection: Selection
) -> None:
    """What is missing in the chart, and what its marks mean."""
    if points["images_per_s"].isna().all():
        imported = bool((points["origin"] != MEASURED_HERE).all())
        st.info(NO_SPEED_IMPORTED if imported else NO_SPEED, icon=":material/speed:")
    if not axis.of_build:
        warn_about_unreliable_speeds(points[points["benchmark_id"].notna()])
    hidden = len(points) - len(drawable(points, axis))
    if hidden:
        what = "known GMACs" if axis.of_model else f"a figure of {axis.name.lower()}"
        st.caption(f"Not drawn: {plural(hidden, 'result')} without {what}; see the table.")
    with st.expander("What the marks mean", icon=":material/help:"):
        st.caption(" ".join(filter(None, _mark_notes(points, axis, options, selection))))


def _mark_notes(
    points: pd.DataFrame, axis: CostAxis, options: ChartOptions, selection: Selection
) -> list[str]:
    """Explains the marks that occur in the chart."""
    estimated = axis.of_model and bool(points["estimated"].any())
    shown = options.published is not None
    return [
        f"Accuracy on {escape_markdown(selection.images)}, with Wilson 95 % intervals.",
        "Arrows: from fp32 to the lower precisions of the same model."
        if points["precision"].nunique() > 1
        else "",
        "Throughput with its 95 % interval between rounds." if axis.name == THROUGHPUT.name else "",
        "Filled: on the Pareto front. Hollow: dominated. Gray: outside the constraints. Dashed: a "
        "constraint.",
        "?: unreliable speed (unstable or with interference)."
        if not axis.of_build and any(is_unreliable(points))
        else "",
        _tags_note(points),
        NOT_COMPARABLE_NOTE if points["not_comparable"].notna().any() else "",
        CROWDED_NOTE if len(points) > MAX_INTERVALS else "",
        PUBLISHED_NOTE if shown and axis.of_model else "",
        "Published figures have no place on this axis: they are in the table below."
        if shown and not axis.of_model
        else "",
        (ESTIMATE_NOTE_SHORT if shown else ESTIMATE_NOTE) if estimated else "",
        "Select points (click or box), or rows of the table, to compare them side by side.",
    ]


def _tags_note(points: pd.DataFrame) -> str:
    """What the tags of runtimes mean, where several are shown."""
    names = runtimes_of(points["runtime"])
    if len(names) < 2:
        return ""
    meanings = (f"{RUNTIMES[name].tag}: {RUNTIMES[name].label}" for name in names)
    return f"Beside a mark, its runtime ({'; '.join(meanings)})."
