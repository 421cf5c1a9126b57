"""Side-by-side comparison of builds selected in a chart or by name."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.links import note_unknown
from dashboard.formats import escape_markdown, is_missing, number, signed
from engine.common.stats import PairedDifference
from engine.results.facts import provenance_cards
from engine.results.speeds import speed_interval_text
from engine.results.wording import interval_text, significance_text

PICKED = "picked"  # key in the session state and in the URL
PICKED_SINCE_DRAWN = "picked_since_drawn"
MAX_BUILDS = 4
# column -> (name, whether to show a ratio of 1)
RATIOS = {
    "size_mb": ("size", True),
    "compute_gmacs": ("GMACs", False),
}


def pick_from(chart: str) -> None:
    """Callback of a chart: adds its selected points to the picked builds; keeps MAX_BUILDS."""
    points = st.session_state[chart]["selection"]["points"]
    pick_keys([str(point["customdata"][1]) for point in points if "customdata" in point])


def pick_keys(keys: list[str]) -> None:
    """Adds builds to the picked ones; keeps MAX_BUILDS."""
    picked = list(st.session_state.get(PICKED) or [])
    st.session_state[PICKED] = list(dict.fromkeys([*picked, *filter(None, keys)]))[-MAX_BUILDS:]
    st.session_state[PICKED_SINCE_DRAWN] = True


def picked_since_drawn() -> bool:
    """Whether builds were picked in a part of the page that is drawn without this section."""
    return bool(st.session_state.pop(PICKED_SINCE_DRAWN, False))


def side_by_side(rows: pd.DataFrame) -> None:
    """The section: selection, differences in figures, and the provenance of each build."""
    with st.container(border=True):
        st.markdown("**Side by side**")
        note_unknown(PICKED, set(rows["key"]), "the build")
        picked = st.multiselect(
            f"Builds (at most {MAX_BUILDS}; the first is A), or select points in a chart above",
            list(rows["key"]),
            key=PICKED,
            max_selections=MAX_BUILDS,
            placeholder="Select two or more",
            bind="query-params",
        )
        chosen = [rows[rows["key"] == key].iloc[0].to_dict() for key in picked]
        if len(chosen) < 2:
            st.caption("Select two or more builds to compare their figures and their provenance.")
            return
        for letter, row in zip("BCD", chosen[1:], strict=False):
            st.markdown(
                f"**{letter} vs A**: {escape_markdown(difference_text(chosen[0], row, letter))}"
            )
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
            alt="Provenance of the selected builds" + (", differences only" if differing else ""),
        )


def difference_text(first: dict[str, Any], second: dict[str, Any], letter: str = "B") -> str:
    """Accuracy (paired if possible), throughput and size of the second build (`letter`) vs A."""
    parts = [
        accuracy_difference(first, second, _paired(first, second), letter),
        *_speed_difference(first, second),
    ]
    for name, (title, shown_if_equal) in RATIOS.items():
        if not is_missing(first[name]) and not is_missing(second[name]):
            ratio = second[name] / first[name]
            if shown_if_equal or ratio != 1:
                parts.append(f"{number(ratio, 2)} × {title}")
    return ", ".join(parts) + "."


def _speed_difference(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """`1.10 × images/s (paired 95 % interval 1.08 to 1.12, p = ...: significant)`."""
    if is_missing(first["benchmark_id"]) or is_missing(second["benchmark_id"]):
        return []
    ratio = queries.speed_ratio(int(first["benchmark_id"]), int(second["benchmark_id"]))
    if ratio is None:
        return []
    return [f"{number(ratio.ratio, 2)} × images/s ({speed_interval_text(ratio)})"]


def _paired(first: dict[str, Any], second: dict[str, Any]) -> PairedDifference | None:
    if is_missing(first["evaluation_id"]) or is_missing(second["evaluation_id"]):
        return None
    return queries.paired_difference(int(first["evaluation_id"]), int(second["evaluation_id"]))


def accuracy_difference(
    first: dict[str, Any],
    second: dict[str, Any],
    paired: PairedDifference | None,
    letter: str = "B",
) -> str:
    """`−0.90 pp top-1 (...)`, or the reason why there is no such figure."""
    if is_missing(first["top1"]) or is_missing(second["top1"]):
        return "accuracy not comparable (one build was not evaluated on these images)"
    if paired is None:
        return "accuracy not comparable (per-image results are missing or are of other images)"
    text = (
        f"{signed(100 * paired.difference, 2)} pp top-1 ({interval_text(paired)}: "
        f"{significance_text(paired.p_value)}; correct only in A: {paired.only_a:,}, only in "
        f"{letter}: {paired.only_b:,})"
    )
    if first["preprocess"] != second["preprocess"]:
        text += ", with different preprocessing"
    return text


def facts_of(chosen: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per fact, one column per build; `differs`: whether the builds differ in it."""
    builds = [_facts(row) for row in chosen]
    names = list(dict.fromkeys(name for facts in builds for name in facts))
    columns = [f"{letter}: {row['key']}" for letter, row in zip("ABCD", chosen, strict=False)]
    lines = []
    for name in names:
        values = [facts.get(name) for facts in builds]
        if values.count(None) == len(values):
            continue
        lines.append([" · ".join(name), *values, len(set(values)) > 1])
    return pd.DataFrame(lines, columns=["fact", *columns, "differs"])


def _facts(row: dict[str, Any]) -> dict[tuple[str, str], str | None]:
    ids = [None if is_missing(row[c]) else int(row[c]) for c in ("evaluation_id", "benchmark_id")]
    cards = provenance_cards(queries.provenance(row["artifact_digest"], *ids))
    return {
        (title, name): None if value is None else str(value)
        for title, facts in cards.items()
        for name, value in facts.items()
    }
