"""The profile of a build: time by operator, SE blocks, conversions, slowest nodes."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts.profile import time_by_operator
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.formats import ago, escape_markdown, number
from db.models import Artifact
from engine.profiling.records import NodeFacts, Profile, load_profiles
from engine.profiling.summary import TimeSums, slowest_nodes, sum_times, times_by_operator

MAX_NODES = 15
SHARE = st.column_config.ProgressColumn("share", format="percent", max_value=1.0)
OPERATORS: dict[str, Any] = {
    "op": "operator",
    "nodes": st.column_config.NumberColumn("nodes", format="%d"),
    "ms": st.column_config.NumberColumn("ms", format="%.3f"),
    "share": SHARE,
    "se_ms": st.column_config.NumberColumn("ms in SE blocks", format="%.3f"),
    "inserted": st.column_config.CheckboxColumn("conversion"),
}
NODES: dict[str, Any] = {
    "name": "node",
    "op": "operator",
    "ms": st.column_config.NumberColumn("ms", format="%.3f"),
    "share": SHARE,
    "output": "output",
    "se_block": st.column_config.NumberColumn("SE block", format="%d"),
}


def show_profile(artifact: Artifact | None, *, expanded: bool = False) -> None:
    """Chart and tables of a profiled build; nothing for other builds."""
    profiles = load_profiles(artifact.digest) if artifact is not None else []
    if not profiles:
        return
    with st.expander("Profile: time by operator", icon=":material/timer:", expanded=expanded):
        chosen = profiles[0]
        if len(profiles) > 1:
            chosen = st.selectbox(
                "Profile", profiles, format_func=_label, key="profile", label_visibility="collapsed"
            )
        else:
            st.caption(escape_markdown(_label(chosen)))
        _show(chosen)


def _label(profile: Profile) -> str:
    return (
        f"batch {profile.batch}, {profile.threads} threads · {profile.machine} · "
        f"{ago(profile.made_at)}"
    )


def _show(profile: Profile) -> None:
    nodes, operators = profile.nodes, times_by_operator(profile.nodes)
    sums = sum_times(nodes)
    st.markdown(takeaway(sums, operators))
    color = current_palette().precisions[profile.precision]
    st.plotly_chart(
        time_by_operator(operators, color, current_palette()),
        key="profile_chart",
        config=chart_config(),
        theme=None,
        alt=takeaway(sums, operators).replace("**", ""),
    )
    st.dataframe(
        operators[list(OPERATORS)],
        column_config=OPERATORS,
        hide_index=True,
        alt="Time by operator",
    )
    st.markdown(f"The {MAX_NODES} slowest nodes of {len(nodes)}")
    st.dataframe(
        _node_table(nodes, sums)[list(NODES)],
        column_config=NODES,
        hide_index=True,
        placeholder="–",
        alt="The slowest nodes",
    )
    st.caption(coverage(profile, sums))
    if profile.noise:
        st.warning(
            f"Interference: {escape_markdown('; '.join(profile.noise))}.",
            icon=":material/warning:",
        )


def _node_table(nodes: list[NodeFacts], sums: TimeSums) -> pd.DataFrame:
    shown = pd.DataFrame([node.model_dump() for node in slowest_nodes(nodes, MAX_NODES)])
    return shown.assign(
        share=shown["ms"] / sums.nodes_ms,
        output=[" x ".join(str(size) for size in shape) for shape in shown["output"]],
    )


def takeaway(sums: TimeSums, operators: pd.DataFrame) -> str:
    """The slowest operator, and the shares of SE blocks and of conversions."""
    first = operators.iloc[0]
    parts = [f"Share of time: **{first['op']}** {first['share']:.0%}"]
    if sums.se_blocks:
        parts.append(f"{sums.se_blocks} SE blocks **{sums.se_ms / sums.nodes_ms:.1%}**")
    parts.append(f"inserted conversions **{sums.inserted_ms / sums.nodes_ms:.1%}**")
    return ", ".join(parts) + "."


def coverage(profile: Profile, sums: TimeSums) -> str:
    """The sum of all nodes compared with the measured latency."""
    return (
        f"Sum of all nodes: {number(sums.nodes_ms, 2)} ms. This is "
        f"{sums.nodes_ms / profile.wall_ms:.1%} of the latency with the profiler "
        f"({number(profile.wall_ms, 2)} ms, mean of the faster {profile.runs} runs) and "
        f"{sums.nodes_ms / profile.latency_ms:.1%} of the latency without it "
        f"({number(profile.latency_ms, 2)} ms). Conversions change the number format or the "
        f"layout; those inside SE blocks ({number(sums.inserted_in_se_ms, 2)} ms) count in both "
        f"sums."
    )
