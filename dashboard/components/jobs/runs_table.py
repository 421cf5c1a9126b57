"""The list of runs: a table with search, and a link to the selected one."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import escape_markdown, plural
from engine.runs.overview import RunOverview, list_runs

_HEIGHT_ROWS = 15
_ROW_PX = 36


def show_runs() -> None:
    """The newest runs; a selected row opens its page."""
    search = st.text_input(
        "Search",
        key="runs_search",
        placeholder="words of the name, models, tags, notes or state",
        icon=":material/search:",
        persist_state="session",
    )
    runs = list_runs(queries.url(), search or "")
    if not runs:
        st.caption("No run matches." if search else "No runs yet.")
        st.page_link("app_pages/new_run.py", label="Queue a run", icon=":material/add_circle:")
        return
    st.caption(f"{plural(len(runs), 'run')}. Select a row to open it.")
    column = st.column_config
    selected = st.dataframe(
        _frame(runs),
        key="runs",
        on_select="rerun",
        selection_mode="single-row",
        hide_index=True,
        placeholder="",
        height=min(len(runs) + 1, _HEIGHT_ROWS) * _ROW_PX + 4,
        alt="Runs with their state, progress and best result",
        column_config={
            "run": column.NumberColumn("Run", width="small"),
            "title": column.TextColumn("Name", width="medium"),
            "state": column.TextColumn("State"),
            "progress": column.ProgressColumn(
                "Jobs done", min_value=0, max_value=100, format="%d %%"
            ),
            "top1": column.NumberColumn("Best top-1 (%)", format="%.2f"),
            "latency_ms": column.NumberColumn("Lowest p50 (ms)", format="%.3g"),
            "best": column.TextColumn("Best builds"),
            "tags": column.ListColumn("Tags"),
            "queued": column.DatetimeColumn("Queued", format="distance"),
        },
    )
    rows = selected["selection"]["rows"]
    if rows and rows[0] < len(runs):
        run = runs[rows[0]]
        st.page_link(
            "app_pages/run.py",
            label=f"Open run {run.id} · {escape_markdown(run.title)}",
            icon=":material/open_in_new:",
            query_params={"id": str(run.id)},
        )
        if run.notes:
            st.caption(escape_markdown(run.notes))


def _frame(runs: list[RunOverview]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": [run.id for run in runs],
            "title": [run.title for run in runs],
            "state": [run.state for run in runs],
            "progress": [100 * run.done // max(1, run.jobs) for run in runs],
            "top1": pd.array([run.top1 for run in runs], dtype="Float64"),
            "latency_ms": pd.array([run.latency_ms for run in runs], dtype="Float64"),
            "best": [_builds(run) for run in runs],
            "tags": [list(run.tags) for run in runs],
            "queued": pd.to_datetime([run.created_at for run in runs], unit="s", utc=True),
        }
    )


def _builds(run: RunOverview) -> str:
    """The most accurate and the fastest build, once where they are the same."""
    return " · ".join(dict.fromkeys(filter(None, (run.most_accurate, run.fastest))))
