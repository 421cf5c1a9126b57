"""What a lower precision costs in accuracy, and what it brings in speed and size."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.precision_pairs import accuracy_change, speed_and_size
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.precision_table import pairs_table
from dashboard.formats import escape_markdown, plural
from engine.results import wording
from engine.results.groups import newest_builds
from engine.results.notes import of_speeds
from engine.specs.comparability import SAME_MODEL
from engine.store.manifest import EMULATED

MOST_MODELS = 30


def pairs_view(rows: pd.DataFrame, first: str, second: str) -> None:
    """The two charts and the table with the same numbers; `rows` are of one pair of groups."""
    newest = newest_builds(rows)
    newest, left_out = _few(newest)
    extra = ["label", "key", "meets", "ship"]
    found, missing = queries.pairs(newest.drop(columns=extra), first, second)
    labels = rows[[*SAME_MODEL, "label"]].drop_duplicates(list(SAME_MODEL))
    found = found.merge(labels, on=list(SAME_MODEL))
    if missing:
        st.warning(escape_markdown(missing))
    if left_out:
        st.caption(
            f"The {MOST_MODELS} models measured last; {plural(left_out, 'model')} more are left "
            f"out: choose models above to see them."
        )
    _show(found, first, second)
    warn_of_rough_speeds(
        newest[newest["benchmark_id"].notna() & newest["precision"].isin((first, second))]
    )
    emulated = (newest["execution"] == EMULATED).any()
    if "fp16" in (first, second) and emulated:
        st.caption(
            "fp16 is emulated on this CPU: its accuracy and size are real, its speed is not that "
            "of a machine with native fp16."
        )


def _few(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows of the models measured last, and how many models that leaves out."""
    labels = list(dict.fromkeys(rows.sort_values("measured_at", ascending=False)["label"]))
    kept = set(labels[:MOST_MODELS])
    return rows[rows["label"].isin(kept)], max(0, len(labels) - MOST_MODELS)


def _show(found: pd.DataFrame, first: str, second: str) -> None:
    charts = {
        column: chart
        for column, chart in {"drop": _change, "speed_up": _speed}.items()
        if found[column].notna().any()
    }
    if "drop" not in charts:
        st.caption(wording.of_change(found, first, second))
    if "speed_up" not in charts:
        st.caption(wording.of_speed(found, first, second))
    if charts:
        with st.grid(len(charts), min_column_width=420):
            for chart in charts.values():
                with st.container(border=True, height="stretch"):
                    chart(found, first, second)
    if len(found):
        pairs_table(found, first, second)


def _change(found: pd.DataFrame, first: str, second: str) -> None:
    st.markdown(f"**{second} minus {first}: top-1**")
    takeaway = wording.of_change(found, first, second)
    st.caption(takeaway)
    figure = accuracy_change(found, first, second, current_palette())
    st.plotly_chart(figure, key="change", config=chart_config(), alt=takeaway)


def _speed(found: pd.DataFrame, first: str, second: str) -> None:
    st.markdown(f"**{second} over {first}: throughput and size**")
    takeaway = wording.of_speed(found, first, second)
    st.caption(takeaway)
    figure = speed_and_size(found, first, second, current_palette())
    st.plotly_chart(figure, key="speed_up", config=chart_config(), alt=takeaway)


def warn_of_rough_speeds(rows: pd.DataFrame) -> None:
    """Says how many of the speeds shown are rough ones, and why."""
    told = of_speeds(rows)
    if told:
        st.caption(
            f":orange[:material/warning:] Of {plural(rows['benchmark_id'].nunique(), 'speed')}: "
            f"{escape_markdown(told)}. Take them "
            f"as rough, or measure again when the machine is quiet."
        )
