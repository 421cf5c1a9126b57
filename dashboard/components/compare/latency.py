"""Latency distributions, and what the batch does, of a few builds."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts import batches, latency
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.benchmarked_model import benchmarked_model
from dashboard.formats import escape_markdown, is_missing, short
from engine.benchmark.sweep import Percentile, find_best_operating_point
from engine.results.groups import benchmarked_at

MOST_SERIES = 6


def latency_view(rows: pd.DataFrame) -> None:
    """Cumulative distributions, and the requests in their order."""
    series = [one for one in map(_series, _few(rows)) if one is not None]
    takeaway = latency.takeaway(series)
    st.caption(escape_markdown(takeaway))
    if not series:
        return
    palette = current_palette()
    with st.grid(2, min_column_width=420):
        with st.container(border=True, height="stretch"):
            st.markdown("**How long requests took**")
            figure = latency.distributions(series, palette)
            st.plotly_chart(figure, key="latency", config=chart_config(), alt=takeaway)
        with st.container(border=True, height="stretch"):
            st.markdown("**In the order of measuring**")
            figure = latency.in_order(series, palette)
            st.plotly_chart(
                figure,
                key="order",
                config=chart_config(),
                alt="Latency of each request in its order",
            )
    st.caption(
        "The windows that the reported figures come from; at most 2,000 requests a build are "
        "drawn. Builds that were picked side by side come first."
    )


def _few(rows: pd.DataFrame) -> list[dict[str, object]]:
    """Picked ones first, then the one to ship and its siblings, then the newest."""
    measured = rows[rows["benchmark_id"].notna()].drop_duplicates("benchmark_id")
    picked = st.session_state.get("picked") or []
    shipped = set(measured.loc[measured["ship"].astype(bool), "label"])
    first = measured["key"].isin(picked).astype(int) * 2 + measured["label"].isin(shipped)
    order = first.sort_values(ascending=False, kind="stable").index
    few = measured.loc[order].head(MOST_SERIES)
    several = few.duplicated(["label", "precision"], keep=False)
    told_apart = few["label"] + " · " + few["artifact_digest"].map(short)
    return few.assign(label=few["label"].where(~several, told_apart)).to_dict("records")


def _series(row: dict[str, object]) -> latency.Series | None:
    if is_missing(row["latency_p50_ms"]):  # offline: times to each answer are no latencies
        return None
    values = queries.latencies(int(str(row["benchmark_id"]).split(".")[0]))
    if values is None or not len(values):
        return None
    return latency.Series(str(row["label"]), str(row["precision"]), values)


def batch_view(
    rows: pd.DataFrame,
    setting: dict[str, object] | None,
    percentile: str | None,
    limit: float | None,
) -> None:
    """Throughput and latency over the batch, for one model in the chosen setting."""
    model = benchmarked_model(rows, "batch_model")
    if setting is None or model is None:
        return
    own = rows[rows["label"] == model]
    found = benchmarked_at(queries.tables().benchmarks, own, setting, vary=("batch",))
    if found["batch"].nunique() < 2:
        st.info(
            "Only one batch size was benchmarked: choose more on New run, under Options.",
            icon=":material/stacked_bar_chart:",
        )
        return
    spot = find_best_operating_point(found, Percentile(percentile or "p50"), limit)
    st.caption(escape_markdown(spot.sentence()))
    figure = batches.batch_scaling(spot, current_palette())
    st.plotly_chart(figure, key="batches", config=chart_config(), alt=spot.sentence())
