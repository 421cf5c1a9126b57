"""All configurations that a model was benchmarked in, and the best operating point."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.sweep import latency_against_throughput
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.benchmarked_model import select_benchmarked_model
from dashboard.components.results.table import table_column
from dashboard.formats import escape_markdown, plural
from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.benchmark.sweep import BestOperatingPoint, Percentile, find_best_operating_point
from engine.results.columns import COLUMNS, SWEEP
from engine.results.groups import benchmarks_of_model

MIN_POINTS = 2
MARKS_NOTE = (
    "One mark per configuration, with its 95 % interval between rounds. Hollow: unreliable "
    "(unstable or with interference)."
)


def sweep_view(
    rows: pd.DataFrame,
    setting: dict[str, object] | None,
    percentile: str | None,
    limit: float | None,
) -> None:
    """The sweep of one model on the selected machine, with a limit of the latency."""
    model = select_benchmarked_model(rows)
    if setting is None or model is None:
        return
    conditions = {**setting, "scenario": CLOSED_LOOP, "processes": 1}
    own = rows[rows["label"] == model]
    benchmarks = benchmarks_of_model(queries.tables().benchmarks, own, conditions)
    show_sweep(
        find_best_operating_point(benchmarks, Percentile(percentile or "p90"), limit), "sweep"
    )


def show_sweep(sweep: BestOperatingPoint, key: str) -> None:
    """The summary, chart and table of a sweep, or a message if there is none."""
    if len(sweep.points) < MIN_POINTS:
        st.info(
            f"{plural(len(sweep.points), 'configuration')} measured. For a sweep, enter several "
            f"batch sizes, threads or concurrencies on New run, under Options.",
            icon=":material/stacked_line_chart:",
        )
        return
    head, colon, evidence = sweep.sentence().partition(":")
    box = st.success if sweep.row else st.warning
    box(
        f"**{escape_markdown(head)}**{colon} {escape_markdown(evidence)}",
        icon=":material/my_location:" if sweep.row else ":material/block:",
    )
    figure = latency_against_throughput(sweep, current_palette())
    st.plotly_chart(figure, key=key, config=chart_config(), alt=sweep.sentence())
    st.caption(
        f"{MARKS_NOTE} Latency is measured at the given concurrency."
        if key == "sweep"
        else MARKS_NOTE
    )
    _table(sweep, key)


def _table(sweep: BestOperatingPoint, key: str) -> None:
    front = set(sweep.pareto_front["benchmark_id"])
    shown = sweep.points[list(SWEEP)].assign(front=sweep.points["benchmark_id"].isin(front))
    config = {name: table_column(COLUMNS[name]) for name in SWEEP}
    with st.expander(f"All {plural(len(shown), 'configuration')}", icon=":material/table_rows:"):
        st.dataframe(
            shown.sort_values("images_per_s", ascending=False),
            key=f"{key}_table",
            hide_index=True,
            placeholder="–",
            column_config={**config, "front": "on Pareto front"},
            alt="All configurations with throughput and latency",
        )
