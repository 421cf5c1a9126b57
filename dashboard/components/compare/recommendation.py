"""The limits of the deployment, and the one build to ship under them."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.comparables import accuracy_points
from dashboard.components.compare.filters import Chosen
from dashboard.formats import escape_markdown, is_missing
from dashboard.shipping import (
    ACCURATE,
    FAST,
    LATENCIES,
    Limits,
    Verdict,
    doubts,
    head_and_evidence,
    judge,
    most_accurate,
    sentence,
    with_drops,
)


def ship_card(rows: pd.DataFrame, chosen: Chosen) -> pd.DataFrame:
    """Draws limits and answer; returns `rows` with `meets` and `ship`."""
    points = accuracy_points(rows)
    points = points[points["apart"].isna()]
    candidates = with_drops(points[points["images_per_s"].notna()])
    with st.container(border=True):
        if candidates.empty:
            _without_speed(points)
            return rows.assign(meets=True, ship=False)
        st.markdown("**Which one to ship**")
        limits = choose_limits()
        verdict = judge(candidates, limits)
        _answer(verdict, limits, chosen)
    meets = rows.index.map(verdict.meets).astype(object)
    chosen_key = verdict.row["key"] if verdict.row else None
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
    lead = None
    if second is not None:
        lead = queries.difference(int(second["evaluation_id"]), int(best["evaluation_id"]))
    head, evidence = head_and_evidence(most_accurate(best, second, lead), best)
    st.success(f"**{escape_markdown(head)}** {escape_markdown(evidence)}", icon=":material/trophy:")


def choose_limits() -> Limits:
    """The widgets; every one is in the URL."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        percentile = st.selectbox(
            "Latency", list(LATENCIES), index=1, key="percentile", bind="query-params", width=90
        )
        latency = _limit("at most (ms)", "latency", None, "p50 to p99 of one request of a batch.")
        drop = _limit(
            "Drop at most (points)", "drop", 1.0, "Top-1 lost against fp32 of the same model."
        )
        size = _limit("Size at most (MB)", "size", None, "Bytes of the model file.")
        prefer = st.segmented_control(
            "Then the",
            [ACCURATE, FAST],
            default=ACCURATE,
            required=True,
            key="prefer",
            bind="query-params",
            help="Most accurate: the model with the most accurate build within the limits, at the "
            "fastest of its precisions within them. Without a limit on the drop, the most "
            "accurate build outright.",
        )
    return Limits(str(percentile), latency, drop, size, str(prefer))


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


def _answer(verdict: Verdict, limits: Limits, chosen: Chosen) -> None:
    row = verdict.row
    if row is None:
        st.warning(escape_markdown(verdict.against), icon=":material/block:")
        return
    drop = None
    if row["precision"] != "fp32" and not is_missing(row["fp32_id"]):
        drop = queries.difference(int(row["fp32_id"]), int(row["evaluation_id"]))
    said = sentence(row, limits, drop, chosen.setting, verdict.against)
    head, evidence = head_and_evidence(said, row)
    st.success(
        f"**{escape_markdown(head)}** {escape_markdown(evidence)}",
        icon=":material/local_shipping:",
    )
    told = "; ".join(doubts(row, limits, drop))
    if told:
        whole = escape_markdown(f"{told[0].upper()}{told[1:]}.")
        st.caption(f":orange[:material/warning:] {whole}")
