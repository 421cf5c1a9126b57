"""Builds chosen in a chart or by name, held against each other: in a sentence, then by fact."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import escape_markdown, is_missing, number, signed
from engine.common.stats import PairedDifference
from engine.results.facts import cards_of
from engine.results.wording import interval_of, verdict

PICKED = "picked"
MOST = 4
# column -> (its name, whether a ratio of one is worth a word)
RATIOS = {
    "images_per_s": ("images/s", True),
    "size_mb": ("size", True),
    "compute_gmacs": ("GMACs", False),
}


def pick_from(chart: str) -> None:
    """Callback of a chart: its selected points join those that were picked, at most MOST stay."""
    found = st.session_state[chart]["selection"]["points"]
    keys = [str(point["customdata"][1]) for point in found if "customdata" in point]
    before = list(st.session_state.get(PICKED) or [])
    st.session_state[PICKED] = list(dict.fromkeys([*before, *filter(None, keys)]))[-MOST:]


def side_by_side(rows: pd.DataFrame) -> None:
    """The drawer: choose by name (or in a chart), read the difference, see what else differs."""
    with st.container(border=True):
        st.markdown("**Side by side**")
        picked = st.multiselect(
            f"Builds (at most {MOST}), the first is A; or select points in a chart above",
            list(rows["key"]),
            key=PICKED,
            max_selections=MOST,
            placeholder="Choose two",
            bind="query-params",
        )
        chosen = [rows[rows["key"] == key].iloc[0].to_dict() for key in picked]
        if len(chosen) < 2:
            st.caption("Choose two or more to see what tells them apart, and what made each.")
            return
        for letter, row in zip("BCD", chosen[1:], strict=False):
            st.markdown(f"**{letter} against A**: {escape_markdown(difference(chosen[0], row))}")
        differing = st.toggle(
            "Differences only", value=True, key="differences", bind="query-params"
        )
        table = facts_of(chosen)
        shown = table[table["differs"]] if differing else table
        st.dataframe(
            shown.drop(columns="differs"),
            hide_index=True,
            height=min(560, 36 * (len(shown) + 1) + 4),
            row_height=36,
            placeholder="–",
            alt="What made each of the chosen builds"
            + (", only what differs" if differing else ""),
        )


def difference(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Accuracy (paired where it can be), throughput and size of the second against the first."""
    parts = [accuracy_words(first, second, _paired(first, second))]
    for name, (what, told_when_equal) in RATIOS.items():
        if not is_missing(first[name]) and not is_missing(second[name]):
            ratio = second[name] / first[name]
            if told_when_equal or ratio != 1:
                parts.append(f"{number(ratio, 2)} × the {what}")
    return ", ".join(parts) + "."


def _paired(first: dict[str, Any], second: dict[str, Any]) -> PairedDifference | None:
    if is_missing(first["evaluation_id"]) or is_missing(second["evaluation_id"]):
        return None
    return queries.difference(int(first["evaluation_id"]), int(second["evaluation_id"]))


def accuracy_words(
    first: dict[str, Any], second: dict[str, Any], paired: PairedDifference | None
) -> str:
    """`−0.90 points of top-1 (...)`, or why there is no such figure."""
    if is_missing(first["top1"]) or is_missing(second["top1"]):
        return "accuracy not comparable (one was not evaluated on these images)"
    if paired is None:
        return "accuracy not comparable image by image (different or missing per-image results)"
    words = (
        f"{signed(100 * paired.difference, 2)} points of top-1 ({interval_of(paired)}: "
        f"{verdict(paired.p_value)}; right only in A {paired.only_a:,}, only here "
        f"{paired.only_b:,})"
    )
    if first["preprocess"] != second["preprocess"]:
        words += ", on images that were prepared differently"
    return words


def facts_of(chosen: list[dict[str, Any]]) -> pd.DataFrame:
    """One line a fact that any of them has, one column a build, `differs` where not all agree."""
    made = [_facts(row) for row in chosen]
    names = list(dict.fromkeys(name for facts in made for name in facts))
    columns = [f"{letter}: {row['key']}" for letter, row in zip("ABCD", chosen, strict=False)]
    lines = []
    for name in names:
        values = [facts.get(name) for facts in made]
        if values.count(None) == len(values):
            continue
        lines.append([" · ".join(name), *values, len(set(values)) > 1])
    return pd.DataFrame(lines, columns=["what", *columns, "differs"])


def _facts(row: dict[str, Any]) -> dict[tuple[str, str], str | None]:
    ids = [None if is_missing(row[c]) else int(row[c]) for c in ("evaluation_id", "benchmark_id")]
    cards = cards_of(queries.provenance(row["artifact_digest"], *ids))
    return {
        (title, name): None if value is None else str(value)
        for title, facts in cards.items()
        for name, value in facts.items()
    }
