"""Precision comparison: accuracy change, speed-up and size ratio of a lower precision."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import queries
from dashboard.charts.precision_pairs import accuracy_change, speed_and_size
from dashboard.components.common.theme import chart_config, current_palette
from dashboard.components.compare.precision_table import pairs_table
from dashboard.formats import escape_markdown, plural
from dashboard.palette import Palette
from engine.results import wording
from engine.results.columns import STORED
from engine.results.groups import newest_builds
from engine.results.notes import unreliable_speeds_summary
from engine.runtimes.registry import other_runtime
from engine.specs.comparability import SAME_MODEL
from engine.store.manifest import EMULATED

MAX_MODELS = 30


def pairs_view(rows: pd.DataFrame, first: str, second: str) -> None:
    """Two charts and a table with the same figures; `rows`: one image set, one configuration."""
    newest = newest_builds(rows)
    newest, hidden = _limit_models(newest)
    pairs, error = queries.pairs(newest[list(STORED)], first, second)
    labels = rows[[*SAME_MODEL, "label"]].drop_duplicates(list(SAME_MODEL))
    pairs = pairs.merge(labels, on=list(SAME_MODEL))
    others = pairs["ran_in"].map(other_runtime)
    pairs["label"] += (" in " + others).where(others != "", "")
    if error:
        st.warning(escape_markdown(error))
    if hidden:
        st.caption(
            f"The {MAX_MODELS} models measured last; {plural(hidden, 'model')} not shown. Select "
            f"models above to see others."
        )
    _show(pairs, first, second)
    warn_about_unreliable_speeds(
        newest[newest["benchmark_id"].notna() & newest["precision"].isin((first, second))]
    )
    emulated = (newest["execution"] == EMULATED).any()
    if "fp16" in (first, second) and emulated:
        st.caption(
            "fp16 is emulated on this CPU: its accuracy and size are valid, its speed is not that "
            "of a machine with native fp16."
        )


def _limit_models(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows of the MAX_MODELS models measured last, and the number of the other models."""
    labels = list(dict.fromkeys(rows.sort_values("measured_at", ascending=False)["label"]))
    shown = set(labels[:MAX_MODELS])
    return rows[rows["label"].isin(shown)], max(0, len(labels) - MAX_MODELS)


def _show(pairs: pd.DataFrame, first: str, second: str) -> None:
    charts = {
        column: chart
        for column, chart in {"change": _change, "speed_up": _speed}.items()
        if pairs[column].notna().any()
    }
    if "change" not in charts:
        st.caption(wording.accuracy_change_summary(pairs, first, second))
    if "speed_up" not in charts:
        st.caption(wording.speed_up_summary(pairs, first, second))
    if charts:
        with st.grid(len(charts), min_column_width=420):
            for chart in charts.values():
                with st.container(border=True, height="stretch"):
                    chart(pairs, first, second)
    if len(pairs):
        pairs_table(pairs, first, second)


def _change(pairs: pd.DataFrame, first: str, second: str) -> None:
    st.markdown(f"**{second} vs {first}: accuracy change**")
    takeaway = wording.accuracy_change_summary(pairs, first, second)
    st.caption(takeaway)
    figure = _figure(accuracy_change.__name__, pairs, first, second, current_palette())
    st.plotly_chart(figure, key="change", config=chart_config(), alt=takeaway)


def _speed(pairs: pd.DataFrame, first: str, second: str) -> None:
    st.markdown(f"**{second} vs {first}: speed-up and size ratio**")
    takeaway = wording.speed_up_summary(pairs, first, second)
    st.caption(takeaway)
    figure = _figure(speed_and_size.__name__, pairs, first, second, current_palette())
    st.plotly_chart(figure, key="speed_up", config=chart_config(), alt=takeaway)


_CHARTS = {chart.__name__: chart for chart in (accuracy_change, speed_and_size)}


@st.cache_resource(show_spinner=False, max_entries=16)
def _figure(
    chart: str, pairs: pd.DataFrame, first: str, second: str, palette: Palette
) -> go.Figure:
    """A chart of the pairs, shared by all sessions: do not modify it."""
    return _CHARTS[chart](pairs, first, second, palette)


def warn_about_unreliable_speeds(rows: pd.DataFrame) -> None:
    """Warns if some of the shown speeds are unreliable: how many, and why."""
    summary = unreliable_speeds_summary(rows)
    if summary:
        st.caption(
            f":orange[:material/warning:] Of "
            f"{plural(rows['benchmark_id'].nunique(), 'benchmark')}: {escape_markdown(summary)}. "
            f"These speeds are unreliable; measure them again when the machine is idle."
        )
