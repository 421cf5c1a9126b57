"""Accuracy against compute and speed; what a lower precision costs and brings."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries, takeaways
from dashboard.charts.accuracy import accuracy_against_compute, accuracy_against_throughput
from dashboard.charts.common import CONFIG
from dashboard.charts.pairs import accuracy_change, speed_and_size
from dashboard.charts.published import with_gmacs
from dashboard.comparables import accuracy_points, frontier, newest_builds, with_labels
from dashboard.components.compare_filters import Chosen, choose
from dashboard.components.demo import invitation
from dashboard.components.guard import guard
from dashboard.components.pairs_table import pairs_table
from dashboard.components.theme import current_palette
from dashboard.formats import escape_markdown, plural
from engine.comparisons import SAME_BUILDS
from engine.results import NOISY_CORES

PAIRS = {"int8 − fp16": ("fp16", "int8"), "int8 − fp32": ("fp32", "int8")}
PAIRS |= {"fp16 − fp32": ("fp32", "fp16")}
PUBLISHED_NOTE = (
    "The published crosses stand at GMACs derived from the published FLOPs (~): the sixteen timm "
    "figures are × 0.9 / 2 (within 1.6 %, BatchNorm included), those of mmcls and PaddleClas ÷ 2. "
    "A model that was exported here stands at its own count. 1 GMAC = 2 GFLOPs."
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
        config=CONFIG,
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


def accuracy_charts(frame: pd.DataFrame, chosen: Chosen) -> None:
    """Accuracy against compute, and against throughput, of one set of images."""
    if chosen.accuracy is None:
        st.info("Nothing was evaluated yet: queue a run with the task Evaluate and a dataset.")
        return
    rows = chosen.accuracy.of(chosen.rows(frame))
    points = accuracy_points(rows)
    if points.empty:
        st.info(
            "No evaluation matches: choose other models, or clear the filter.",
            icon=":material/filter_alt_off:",
        )
        return
    images = escape_markdown(chosen.accuracy.label)
    with st.grid(2, min_column_width=420):
        with st.container(border=True, height="stretch"):
            st.markdown("**Accuracy against compute**")
            compute_chart(points, chosen)
        with st.container(border=True, height="stretch"):
            st.markdown("**Accuracy against throughput**")
            throughput_chart(rows, chosen)
    st.caption(
        f"Accuracy on {images}, with Wilson 95 % intervals; a line joins the precisions of one "
        f"model, which have equal compute and are drawn side by side. Throughput with the range "
        f"over its measured windows."
    )


def compute_chart(points: pd.DataFrame, chosen: Chosen) -> None:
    """P2: one point an evaluation."""
    assert chosen.accuracy is not None
    published = with_gmacs(queries.published()) if chosen.published else None
    best = points.loc[points["top1"].idxmax()]
    takeaway = f"Highest top-1: {best['label']} at {best['precision']}, {best['top1']:.2f} %."
    st.caption(escape_markdown(takeaway))
    figure = accuracy_against_compute(
        points, published, current_palette(), str(chosen.accuracy.label)
    )
    st.plotly_chart(figure, key="compute", config=CONFIG, alt=takeaway)
    if published is not None:
        st.caption(PUBLISHED_NOTE)


def throughput_chart(rows: pd.DataFrame, chosen: Chosen) -> None:
    """P1: one point an evaluation with a benchmark in the chosen setting."""
    measured = chosen.speed.of(rows) if chosen.speed else rows.iloc[:0]
    points = accuracy_points(measured)
    if points.empty or chosen.speed is None or chosen.accuracy is None:
        st.info("Nothing of this was benchmarked in the chosen setting.")
        return
    sound = points[~points["at_chance"].fillna(False).astype(bool)]
    kept = frontier(-sound["images_per_s"], sound["top1"])
    takeaway = takeaways.of_frontier(sound, kept)
    st.caption(takeaway)
    setting = str(chosen.speed.label).split(" · ")[0]
    figure = accuracy_against_throughput(
        points, current_palette(), str(chosen.accuracy.label), setting
    )
    st.plotly_chart(figure, key="throughput", config=CONFIG, alt=takeaway)
    warn_of_rough_speeds(points)
    if chosen.published:
        st.caption("Published figures have no throughput on this machine, so none is drawn.")


def warn_of_rough_speeds(rows: pd.DataFrame) -> None:
    """Says how many of the speeds shown are rough ones, and why."""
    measured = rows.drop_duplicates("benchmark_id")
    reasons = {
        "unstable (the windows did not agree)": int((measured["stable"] == 0).sum()),
        "shared the machine with other work": int(
            (measured["other_busy_cores"] > NOISY_CORES).sum()
        ),
    }
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    if told:
        st.caption(
            f":orange[:material/warning:] Of {plural(len(measured), 'speed')}: {told}. Take them "
            f"as rough, or measure again when the machine is quiet."
        )


def pair_charts(frame: pd.DataFrame, chosen: Chosen) -> None:
    """P3 and P4: the cost in accuracy, the gain in speed and size."""
    st.subheader("What a lower precision costs and brings")
    name = st.segmented_control(
        "Compare",
        list(PAIRS),
        default=next(iter(PAIRS)),
        required=True,
        key="pair",
        bind="query-params",
        label_visibility="collapsed",
    )
    first, second = PAIRS.get(str(name), next(iter(PAIRS.values())))
    rows = chosen.rows(frame)
    evaluated = chosen.accuracy.of(rows).index if chosen.accuracy else rows.index[:0]
    benchmarked = chosen.speed.of(rows).index if chosen.speed else rows.index[:0]
    rows = newest_builds(rows.loc[evaluated.union(benchmarked)])
    rows = rows.assign(
        evaluation_id=rows["evaluation_id"].where(rows.index.isin(evaluated)),
        benchmark_id=rows["benchmark_id"].where(rows.index.isin(benchmarked)),
    )
    found, missing = queries.pairs(rows.drop(columns="label"), first, second)
    labels = frame.drop_duplicates(SAME_BUILDS)
    found = found.merge(labels[[*SAME_BUILDS, "label"]], on=SAME_BUILDS)
    if missing:
        st.warning(escape_markdown(missing))
    show_pairs(found, first, second)
    warn_of_rough_speeds(
        rows[rows["benchmark_id"].notna() & rows["precision"].isin((first, second))]
    )
    if "fp16" in (first, second) and rows["execution"].astype(str).str.contains("emulated").any():
        st.caption(
            "fp16 is emulated on this CPU: its accuracy and size are real, its speed is not that "
            "of a machine with native fp16."
        )


def show_pairs(found: pd.DataFrame, first: str, second: str) -> None:
    """The two charts and the table with the same numbers."""
    palette = current_palette()
    with st.grid(2, min_column_width=420):
        with st.container(border=True, height="stretch"):
            st.markdown(f"**{second} minus {first}: top-1**")
            takeaway = takeaways.of_change(found, first, second)
            st.caption(takeaway)
            if found["drop"].notna().any():
                figure = accuracy_change(found, first, second, palette)
                st.plotly_chart(figure, key="change", config=CONFIG, alt=takeaway)
        with st.container(border=True, height="stretch"):
            st.markdown(f"**{second} over {first}: throughput and size**")
            takeaway = takeaways.of_speed(found, first, second)
            st.caption(takeaway)
            if found["speed_up"].notna().any():
                figure = speed_and_size(found, first, second, palette)
                st.plotly_chart(figure, key="speed_up", config=CONFIG, alt=takeaway)
    if len(found):
        pairs_table(found, first, second)


st.title("Compare")
table = with_labels(queries.results())
if table[["evaluation_id", "benchmark_id"]].isna().all(axis=None):
    first_page()
else:
    choices = choose(table)
    accuracy_charts(table, choices)
    pair_charts(table, choices)
