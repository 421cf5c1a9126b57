"""The limits of the deployment, and the one build to ship under them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.compare.filters import Chosen
from dashboard.formats import escape_markdown, is_missing
from db.enums import Precision
from engine.benchmark.sweep import Percentile
from engine.common.stats import PairedDifference
from engine.results.recommend import (
    Answer,
    Constraints,
    Goal,
    Recommendation,
    answer,
    candidates,
    comparable_points,
    doubts,
    most_accurate,
    recommend,
)


def ship_card(rows: pd.DataFrame, chosen: Chosen) -> pd.DataFrame:
    """Draws limits and answer; returns `rows` with `meets` and `ship`."""
    points = comparable_points(rows)
    offered = candidates(points)
    with st.container(border=True):
        if offered.empty:
            _without_speed(points)
            return rows.assign(meets=True, ship=False)
        st.markdown("**Which one to ship**")
        constraints = choose_constraints()
        found = recommend(offered, constraints)
        _answer(found, constraints, chosen)
    meets = rows.index.map(found.meets).astype(object)
    chosen_key = found.row["key"] if found.row else None
    return rows.assign(
        meets=pd.Series(meets, index=rows.index).fillna(True).astype(bool),
        ship=rows["key"] == chosen_key,
    )


def _without_speed(points: pd.DataFrame) -> None:
    """What can be said before anything has both an accuracy and a speed."""
    st.markdown("**Which one is the most accurate**")
    if points.empty:
        st.caption("Nothing has both an accuracy on these images and a speed in this setting yet.")
        return
    best, *others = points.sort_values("top1", ascending=False).to_dict("records")
    second = others[0] if others else None
    lead = _paired(second["evaluation_id"], best) if second is not None else None
    _show(most_accurate(best, second, lead), ":material/trophy:")


def _paired(other_id: float, row: dict[str, Any]) -> PairedDifference | None:
    """`row` minus another evaluation, image by image; None where they cannot be paired."""
    return queries.difference(int(other_id), int(row["evaluation_id"]))


def _show(said: Answer, icon: str) -> None:
    st.success(f"**{escape_markdown(said.head)}** {escape_markdown(said.evidence)}", icon=icon)


def choose_constraints() -> Constraints:
    """The widgets; every one is in the URL."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        percentile = st.selectbox(
            "Latency",
            [str(percentile) for percentile in Percentile],
            index=1,
            key="percentile",
            bind="query-params",
            width=90,
        )
        latency = _limit("at most (ms)", "latency", None, "p50 to p99 of one request of a batch.")
        drop = _limit(
            "Drop at most (points)", "drop", 1.0, "Top-1 lost against fp32 of the same model."
        )
        size = _limit("Size at most (MB)", "size", None, "Bytes of the model file.")
        prefer = st.segmented_control(
            "Then the",
            [str(goal) for goal in Goal],
            default=str(Goal.ACCURATE),
            required=True,
            key="prefer",
            bind="query-params",
            help="Most accurate: the model with the most accurate build within the limits, at the "
            "fastest of its precisions within them. Without a limit on the drop, the most "
            "accurate build outright.",
        )
    return Constraints(Percentile(percentile), latency, drop, size, Goal(prefer))


def _limit(label: str, key: str, value: float | None, about: str) -> float | None:
    found = st.number_input(
        label,
        min_value=0.0,
        value=value,
        step=None,
        format="%g",
        placeholder="no limit",
        key=f"most_{key}",
        bind="query-params",
        help=f"{about} Empty: no limit.",
        width=170,
    )
    return None if found is None else float(found)


def _answer(found: Recommendation, constraints: Constraints, chosen: Chosen) -> None:
    row = found.row
    if row is None:
        st.warning(escape_markdown(found.reason), icon=":material/block:")
        return
    drop = None
    if row["precision"] != Precision.FP32 and not is_missing(row["fp32_id"]):
        drop = _paired(row["fp32_id"], row)
    _show(answer(found, constraints, drop, chosen.setting), ":material/local_shipping:")
    told = "; ".join(doubts(row, constraints, drop))
    if told:
        whole = escape_markdown(f"{told[0].upper()}{told[1:]}.")
        st.caption(f":orange[:material/warning:] {whole}")
