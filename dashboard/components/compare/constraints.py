"""The constraints of the recommendation; their values are in the URL."""

from __future__ import annotations

import streamlit as st

from dashboard.components.common.links import note_unknown
from engine.benchmark.sweep import Percentile
from engine.results.recommend import Constraints, Goal

HELP = {
    "latency": "Percentile of the latency of one request (of one batch).",
    "drop": "Top-1 of fp32 of the same model minus top-1 of the build, in percentage points. "
    "Shown by the interval of the paired difference.",
    "top1": "Top-1 of the build on these images, in percent. A drop is against fp32 of the same "
    "model: this keeps out small, inaccurate networks.",
    "size": "Size of the model file.",
    "memory": "Peak resident memory of the benchmark process.",
}


def choose_constraints() -> Constraints:
    """Draws the constraint fields in one line."""
    note_unknown("percentile", [str(percentile) for percentile in Percentile], "the percentile")
    note_unknown("prefer", [str(goal) for goal in Goal], "the goal")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        percentile = st.selectbox(
            "Percentile",
            [str(percentile) for percentile in Percentile],
            index=1,
            key="percentile",
            bind="query-params",
            width=90,
        )
        latency = _limit_input("Max latency (ms)", "latency", None)
        drop = _limit_input("Max accuracy drop (pp)", "drop", 1.0, 160)
        top1 = _limit_input("Min top-1 (%)", "top1", None, key="least_top1")
        size = _limit_input("Max size (MB)", "size", None)
        memory = _limit_input("Max memory (MB)", "memory", None, 140)
        goal = st.segmented_control(
            "Optimize for",
            [str(goal) for goal in Goal],
            default=str(Goal.ACCURACY),
            required=True,
            key="prefer",
            bind="query-params",
            help="Accuracy: the model of the most accurate build within the constraints, at its "
            "fastest precision within them. Without a max accuracy drop: the most accurate build. "
            "Throughput: the build with the highest images/s within the constraints.",
        )
    return Constraints(Percentile(percentile), latency, drop, top1, size, memory, Goal(str(goal)))


def _limit_input(
    label: str, name: str, value: float | None, width: int = 130, key: str | None = None
) -> float | None:
    limit = st.number_input(
        label,
        min_value=0.0,
        value=value,
        step=None,
        format="%g",
        placeholder="none",
        key=key or f"most_{name}",
        bind="query-params",
        help=f"{HELP[name]} Empty: no constraint.",
        width=width,
    )
    return None if limit is None else float(limit)


def latency_limit() -> tuple[str, float | None]:
    """The percentile and limit of a view of latencies, in its tab; by default those above."""
    percentiles, state = [str(percentile) for percentile in Percentile], st.session_state
    note_unknown("detail_percentile", percentiles, "the percentile")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        percentile = st.selectbox(
            "Percentile",
            percentiles,
            index=percentiles.index(state.get("percentile", Percentile.P90)),
            key="detail_percentile",
            bind="query-params",
            width=90,
        )
        limit = st.number_input(
            "Max latency of a request (ms)",
            min_value=0.0,
            value=state.get("most_latency"),
            step=None,
            format="%g",
            placeholder="none",
            key="detail_latency",
            bind="query-params",
            help="Of this view only; the constraint of the recommendation is above. Empty: none.",
            width=210,
        )
    return str(percentile), None if limit is None else float(limit)
