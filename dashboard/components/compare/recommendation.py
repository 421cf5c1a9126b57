"""The constraints of a deployment, and the recommended build."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.compare.filters import Selection
from dashboard.formats import escape_markdown, is_missing
from db.enums import Precision
from engine.benchmark.sweep import Percentile
from engine.common.stats import PairedDifference
from engine.results.recommend import (
    Constraints,
    Goal,
    Recommendation,
    RecommendationText,
    candidates,
    comparable_points,
    most_accurate_text,
    recommend,
    recommendation_caveats,
    recommendation_text,
)


def recommendation_card(rows: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Draws constraints and recommendation; returns `rows` with `meets` and `recommended`."""
    points = comparable_points(rows)
    builds = candidates(points)
    with st.container(border=True):
        if builds.empty:
            _without_speed(points)
            return rows.assign(meets=True, recommended=False)
        st.markdown("**Recommendation**")
        constraints = choose_constraints()
        recommendation = recommend(builds, constraints)
        _show_recommendation(recommendation, constraints, selection)
    meets = rows.index.map(recommendation.meets).astype(object)
    key = recommendation.row["key"] if recommendation.row else None
    return rows.assign(
        meets=pd.Series(meets, index=rows.index).fillna(True).astype(bool),
        recommended=rows["key"] == key,
    )


def _without_speed(points: pd.DataFrame) -> None:
    """The most accurate build, as long as no build has both accuracy and speed."""
    st.markdown("**Most accurate build**")
    if points.empty:
        st.caption(
            "No build has both an accuracy on these images and a speed in this configuration yet."
        )
        return
    best, *others = points.sort_values("top1", ascending=False).to_dict("records")
    second = others[0] if others else None
    lead = _paired(second["evaluation_id"], best) if second is not None else None
    _show(most_accurate_text(best, second, lead), ":material/trophy:")


def _paired(other_id: float, row: dict[str, Any]) -> PairedDifference | None:
    """Top-1 of `row` minus that of another evaluation, paired; None if they cannot be paired."""
    return queries.paired_difference(int(other_id), int(row["evaluation_id"]))


def _show(text: RecommendationText, icon: str) -> None:
    st.success(f"**{escape_markdown(text.head)}** {escape_markdown(text.evidence)}", icon=icon)


def choose_constraints() -> Constraints:
    """Draws the constraint widgets; their values are in the URL."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        percentile = st.selectbox(
            "Percentile",
            [str(percentile) for percentile in Percentile],
            index=1,
            key="percentile",
            bind="query-params",
            width=90,
        )
        latency = _limit_input(
            "Max latency (ms)",
            "latency",
            None,
            "Percentile of the latency of one request (of one batch).",
        )
        drop = _limit_input(
            "Max accuracy drop (pp)",
            "drop",
            1.0,
            "Top-1 of fp32 of the same model minus top-1 of the build, in percentage points.",
        )
        size = _limit_input("Max size (MB)", "size", None, "Size of the model file.")
        goal = st.segmented_control(
            "Optimize for",
            [str(goal) for goal in Goal],
            default=str(Goal.ACCURATE),
            required=True,
            key="prefer",
            bind="query-params",
            help="Most accurate: the model of the most accurate build within the constraints, at "
            "its fastest precision within them. Without a max accuracy drop: the most accurate "
            "build. Fastest: the build with the highest images/s within the constraints.",
        )
    return Constraints(Percentile(percentile), latency, drop, size, Goal(goal))


def _limit_input(label: str, key: str, value: float | None, about: str) -> float | None:
    limit = st.number_input(
        label,
        min_value=0.0,
        value=value,
        step=None,
        format="%g",
        placeholder="none",
        key=f"most_{key}",
        bind="query-params",
        help=f"{about} Empty: no constraint.",
        width=170,
    )
    return None if limit is None else float(limit)


def _show_recommendation(
    recommendation: Recommendation, constraints: Constraints, selection: Selection
) -> None:
    row = recommendation.row
    if row is None:
        st.warning(escape_markdown(recommendation.reason), icon=":material/block:")
        return
    difference = None
    if row["precision"] != Precision.FP32 and not is_missing(row["fp32_id"]):
        difference = _paired(row["fp32_id"], row)
    _show(
        recommendation_text(recommendation, constraints, difference, selection.setting),
        ":material/recommend:",
    )
    caveats = "; ".join(recommendation_caveats(row, constraints, difference))
    if caveats:
        sentence = escape_markdown(f"{caveats[0].upper()}{caveats[1:]}.")
        st.caption(f":orange[:material/warning:] {sentence}")
