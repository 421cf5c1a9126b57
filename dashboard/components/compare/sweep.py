"""All settings that a model was benchmarked at: where each stands, and which is the best."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.sweep import latency_against_throughput
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.benchmarked_model import benchmarked_model
from dashboard.formats import escape_markdown, plural
from engine.benchmark.scenarios.definitions import CLOSED_LOOP
from engine.benchmark.sweep import Percentile, SweetSpot, find_sweet_spot

COLUMNS = {
    "precision": "precision",
    "batch": "batch",
    "instances": "in flight",
    "threads": "threads",
    "images_per_s": "images/s",
    "latency_p50_ms": "p50 (ms)",
    "latency_p90_ms": "p90 (ms)",
    "latency_p99_ms": "p99 (ms)",
    "on frontier": "on the frontier",
    "noise": "noisy because",
}
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
    found = all_settings(rows[rows["label"] == model], setting)
    show_sweep(find_sweet_spot(found, Percentile(percentile or "p90"), limit), "sweep")


def all_settings(own: pd.DataFrame, setting: dict[str, object]) -> pd.DataFrame:
    """The newest build a precision, at every batch, threads and in flight, on one machine."""
    builds = own.drop_duplicates("precision").set_index("artifact_digest")
    benchmarks = queries.tables().benchmarks
    keep = benchmarks["artifact_digest"].isin(builds.index)
    keep &= benchmarks["scenario"] == CLOSED_LOOP
    keep &= benchmarks["processes"] == 1
    for name in ("environment_digest", "provider"):
        keep &= benchmarks[name] == setting[name]
    found = benchmarks[keep]
    known = builds[["precision", "model_id", "label"]]
    return found.join(known, on="artifact_digest").reset_index(drop=True)


def show_sweep(found: SweetSpot, key: str) -> None:
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


def _table(found: SweetSpot, key: str) -> None:
    best = set(found.pareto_front["benchmark_id"])
    shown = found.points.assign(**{"on frontier": found.points["benchmark_id"].isin(best)})
    order = ["images_per_s"]
    column = st.column_config
    with st.expander(f"All {plural(len(shown), 'setting')}", icon=":material/table_rows:"):
        st.dataframe(
            shown[list(COLUMNS)].sort_values(order, ascending=False).rename(columns=COLUMNS),
            key=f"{key}_table",
            hide_index=True,
            placeholder="–",
            column_config={
                "images/s": column.NumberColumn(format="%.1f"),
                **{f"{p} (ms)": column.NumberColumn(format="%.2f") for p in ("p50", "p90", "p99")},
            },
            alt="Every setting with its throughput and latency",
        )
