"""Latency distributions of some builds, and batch scaling of a model."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts import batches, latency, rounds
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.benchmarked_model import select_benchmarked_model
from dashboard.formats import escape_markdown, is_missing, plural, short
from engine.benchmark.sweep import Percentile, find_best_operating_point
from engine.results.groups import benchmarks_of_model
from engine.runtimes.registry import other_runtime

MAX_SERIES = 6


def latency_view(rows: pd.DataFrame) -> None:
    """Latency distribution (CDF) and latency over time."""
    all_series = [series for series in map(_series, _select_builds(rows)) if series is not None]
    takeaway = latency.takeaway(all_series)
    st.caption(escape_markdown(takeaway))
    if not all_series:
        return
    palette = current_palette()
    with st.grid(2, min_column_width=420):
        with st.container(border=True, height="stretch"):
            st.markdown("**Latency distribution (CDF)**")
            figure = latency.latency_distribution(all_series, palette)
            st.plotly_chart(figure, key="latency", config=chart_config(), alt=takeaway)
        with st.container(border=True, height="stretch"):
            st.markdown("**Latency over time**")
            figure = latency.latency_over_time(all_series, palette)
            st.plotly_chart(
                figure,
                key="order",
                config=chart_config(),
                alt="Latency of each request in order of completion",
            )
    st.caption(
        f"Requests of all rounds, at most {latency.MAX_SAMPLES:,} per build and "
        f"{MAX_SERIES} builds. Builds selected under Side by side come first."
    )
    rounds_view(rows)


def rounds_view(rows: pd.DataFrame) -> None:
    """Throughput over the rounds of the session that measured most of the shown builds."""
    measured = []
    for row in _select_builds(rows):
        protocol = queries.benchmark_protocol(int(float(str(row["benchmark_id"]))))
        if protocol is not None and protocol.session is not None:
            measured.append(
                rounds.MeasuredRounds(str(row["label"]), str(row["precision"]), protocol)
            )
    if not measured:
        st.caption("None of these builds was measured in rounds; benchmark them again.")
        return
    counts = Counter(build.protocol.session for build in measured)
    session = counts.most_common(1)[0][0]
    shown = [build for build in measured if build.protocol.session == session]
    with st.container(border=True):
        st.markdown("**Throughput over the rounds of the measuring session**")
        takeaway = rounds.takeaway(shown)
        st.caption(escape_markdown(takeaway))
        figure = rounds.throughput_over_rounds(shown, current_palette())
        st.plotly_chart(figure, key="rounds", config=chart_config(), alt=takeaway)
        hidden = len(measured) - len(shown)
        if hidden:
            st.caption(f"{plural(hidden, 'build')} of other sessions not shown.")


def _select_builds(rows: pd.DataFrame) -> list[dict[str, object]]:
    """At most MAX_SERIES: the picked builds, then those of the recommended model, then the rest."""
    measured = rows[rows["benchmark_id"].notna()].drop_duplicates("benchmark_id")
    picked = st.session_state.get("picked") or []
    recommended = set(measured.loc[measured["recommended"].astype(bool), "label"])
    priority = measured["key"].isin(picked).astype(int) * 2 + measured["label"].isin(recommended)
    order = priority.sort_values(ascending=False, kind="stable").index
    selected = measured.loc[order].head(MAX_SERIES)
    several = selected.duplicated(["label", "precision", "runtime"], keep=False)
    with_digest = selected["label"] + " · " + selected["artifact_digest"].map(short)
    labels = selected["label"].where(~several, with_digest)
    return selected.assign(label=labels).to_dict("records")


def _series(row: dict[str, object]) -> latency.Series | None:
    if is_missing(row["latency_p50_ms"]):  # scenario offline: it has no latencies
        return None
    values = queries.latencies(int(str(row["benchmark_id"]).split(".")[0]))
    if values is None or not len(values):
        return None
    other = other_runtime(row["runtime"])
    return latency.Series(str(row["label"]), str(row["precision"]), values, other)


def batch_view(
    rows: pd.DataFrame,
    setting: dict[str, object] | None,
    percentile: str | None,
    limit: float | None,
) -> None:
    """Throughput and latency over the batch size, for one model in one configuration."""
    model = select_benchmarked_model(rows)
    if setting is None or model is None:
        return
    own = rows[rows["label"] == model]
    benchmarks = benchmarks_of_model(queries.tables().benchmarks, own, setting, vary=("batch",))
    if benchmarks["batch"].nunique() < 2:
        st.info(
            "Fewer than two batch sizes were benchmarked. Select more on New run, under Options.",
            icon=":material/stacked_bar_chart:",
        )
        return
    sweep = find_best_operating_point(benchmarks, Percentile(percentile or "p50"), limit)
    st.caption(escape_markdown(sweep.sentence()))
    figure = batches.batch_scaling(sweep, current_palette())
    st.plotly_chart(figure, key="batches", config=chart_config(), alt=sweep.sentence())
