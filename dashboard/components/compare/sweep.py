"""All settings that a model was benchmarked at: where each stands, and which is the best."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.sweep import latency_against_throughput
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.benchmarked_model import benchmarked_model
from dashboard.components.results.table import table_column
from dashboard.formats import escape_markdown, plural
from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.benchmark.sweep import BestOperatingPoint, Percentile, find_best_operating_point
from engine.results.columns import COLUMNS, SWEEP
from engine.results.groups import benchmarked_at

LEAST_POINTS = 2


def sweep_view(
    rows: pd.DataFrame,
    setting: dict[str, object] | None,
    percentile: str | None,
    limit: float | None,
) -> None:
    """Every setting of one model on the chosen machine; percentile and limit as for shipping."""
    model = benchmarked_model(rows, "sweep_model")
    if setting is None or model is None:
        return
    swept = {**setting, "scenario": CLOSED_LOOP, "processes": 1}
    found = benchmarked_at(queries.tables().benchmarks, rows[rows["label"] == model], swept)
    show_sweep(find_best_operating_point(found, Percentile(percentile or "p90"), limit), "sweep")


def show_sweep(found: BestOperatingPoint, key: str) -> None:
    """The sentence, the chart and the table of a sweep; or why there is none."""
    if len(found.points) < LEAST_POINTS:
        st.info(
            f"{plural(len(found.points), 'setting')} measured: choose several batch sizes, threads "
            f"or requests in flight on New run, under Options.",
            icon=":material/stacked_line_chart:",
        )
        return
    head, colon, evidence = found.sentence().partition(":")
    box = st.success if found.row else st.warning
    box(
        f"**{escape_markdown(head)}**{colon} {escape_markdown(evidence)}",
        icon=":material/my_location:" if found.row else ":material/block:",
    )
    figure = latency_against_throughput(found, current_palette())
    st.plotly_chart(figure, key=key, config=chart_config(), alt=found.sentence())
    st.caption(
        "One mark a setting, with the range over its windows; hollow: noisy or unstable. Latency "
        "is that of a machine kept busy by as many requests as are in flight. Percentile and limit "
        "are those of the deployment, above."
        if key == "sweep"
        else "One mark a setting, with the range over its windows; hollow: noisy or unstable."
    )
    _table(found, key)


def _table(found: BestOperatingPoint, key: str) -> None:
    best = set(found.pareto_front["benchmark_id"])
    shown = found.points[list(SWEEP)].assign(front=found.points["benchmark_id"].isin(best))
    config = {name: table_column(COLUMNS[name]) for name in SWEEP}
    with st.expander(f"All {plural(len(shown), 'setting')}", icon=":material/table_rows:"):
        st.dataframe(
            shown.sort_values("images_per_s", ascending=False),
            key=f"{key}_table",
            hide_index=True,
            placeholder="–",
            column_config={**config, "front": "on the frontier"},
            alt="Every setting with its throughput and latency",
        )
