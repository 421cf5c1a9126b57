"""The filters of the Results page: rows, columns and sorting; their values are in the URL."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.components.common.links import note_unknown
from dashboard.components.common.old_links import translate_group_label, translate_query_params
from dashboard.formats import plural
from engine.results import ResultTables
from engine.results.columns import IDENTITY, SETS, columns_in_set, header_of, selectable_columns
from engine.results.groups import Group, accuracy_groups, runtimes_of, speed_groups
from engine.results.notes import with_notes
from engine.runtimes.registry import label_of, name_in
from engine.specs.precisions import precision_names

ANY = "any"
CUSTOM = "Custom"
MAX_ROWS = 2000
OLD_VALUES = {"columns": {"Own choice": CUSTOM}}  # in links of earlier versions
NEWEST = "measured_at"


@dataclass(frozen=True, slots=True)
class ShownResults:
    """The matching rows (with `notes`), the columns, and the filters in words (`about`)."""

    rows: pd.DataFrame
    columns: list[str]
    about: str


def choose(tables: ResultTables) -> ShownResults:
    """Draws the filters and returns the matching rows."""
    translate_query_params(OLD_VALUES)
    large = _joined_row_count(tables) > MAX_ROWS
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            text = st.text_input(
                "Model contains",
                key="model",
                placeholder="any model",
                bind="query-params",
                width=220,
            )
            names = precision_names()
            precisions = st.pills(
                "Precision",
                names,
                selection_mode="multi",
                default=names,
                key="precision",
                bind="query-params",
            )
            runtimes = _choose_runtimes(tables)
            accuracy = _select_group(
                "Accuracy on", accuracy_groups(tables.evaluations), "dataset", large
            )
            speed = _select_group("Speed at", speed_groups(tables.benchmarks), "speed", large)
        columns, sort_column, ascending = _columns_and_order()
        tags, hidden = _choose_annotated(tables.builds)
    frame = queries.results(accuracy, speed, hidden=hidden)
    keep = frame["precision"].isin(precisions)
    if tags:
        keep &= frame["tag"].isin(tags)
    if runtimes is not None:
        keep &= frame["runtime"].map(name_in, na_action="ignore").isin(runtimes)
    if text:
        keep &= frame["model_id"].str.contains(text, case=False, regex=False)
    if accuracy or speed:
        keep &= frame["evaluation_id"].notna() | frame["benchmark_id"].notna()
    rows = frame[keep].sort_values(
        sort_column, ascending=ascending, kind="stable", na_position="last"
    )
    rows = with_notes(rows.reset_index(drop=True), queries.outdated_environments())
    about = _describe(text, precisions, runtimes, accuracy, speed, sort_column, ascending)
    if tags:
        about = f"tagged {' or '.join(tags)}; {about}"
    return ShownResults(rows, columns, about)


def _choose_runtimes(tables: ResultTables) -> list[str] | None:
    """The chosen runtimes; None for all, or where only one was used."""
    recorded = pd.concat([tables.evaluations["runtime"], tables.benchmarks["runtime"]])
    names = runtimes_of(recorded)
    if len(names) < 2:
        return None
    chosen = st.pills(
        "Runtime",
        names,
        selection_mode="multi",
        default=names,
        format_func=label_of,
        key="runtime",
        bind="query-params",
    )
    return None if set(chosen) == set(names) else list(chosen)


def _choose_annotated(builds: pd.DataFrame) -> tuple[list[str], bool]:
    """The chosen tags (none: any), and whether hidden builds are shown; drawn where there are any.

    `builds`: also the hidden ones.
    """
    known = sorted(builds["tag"].dropna().unique())
    count = int(builds["hidden"].fillna(False).astype(bool).sum())
    tags: list[str] = []
    hidden = False
    if not known and not count:
        return tags, hidden
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if known:
            note_unknown("tag", known, "the tag")
            tags = st.pills("Tag", known, selection_mode="multi", key="tag", bind="query-params")
        if count:
            hidden = st.toggle(
                f"Show hidden ({plural(count, 'build')})", key="hidden", bind="query-params"
            )
    return list(tags), hidden


def _joined_row_count(tables: ResultTables) -> int:
    """Minimum number of rows of the results table without filters."""
    evaluations = tables.evaluations["artifact_digest"].value_counts()
    benchmarks = tables.benchmarks["artifact_digest"].value_counts()
    return int(evaluations.mul(benchmarks, fill_value=1).sum())


def _select_group(label: str, groups: list[Group], key: str, large: bool) -> Group | None:
    """The selected group; None for any. In a large table, the most used group is the default."""
    by_label = {group.label: group for group in groups}
    translate_group_label(key, by_label)
    note_unknown(key, [ANY, *by_label], label.lower())
    chosen = st.selectbox(
        label,
        [ANY, *by_label],
        index=1 if large and by_label else 0,
        key=key,
        bind="query-params",
        width=250,
    )
    return by_label.get(str(chosen))


def _columns_and_order() -> tuple[list[str], str, bool]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.segmented_control(
            "Columns",
            [*SETS, CUSTOM],
            default=next(iter(SETS)),
            required=True,
            key="columns",
            bind="query-params",
        )
        sort_column = st.selectbox(
            "Sort by",
            [NEWEST, *(column for column in selectable_columns() if column != NEWEST), *IDENTITY],
            format_func=header_of,
            key="sort",
            bind="query-params",
            width=200,
        )
        ascending = st.toggle("Ascending", key="rising", bind="query-params")
    columns = columns_in_set(str(name))
    if name == CUSTOM:
        custom = st.multiselect(
            "Columns to show",
            selectable_columns(),
            default=SETS["Summary"],
            format_func=header_of,
            key="own_columns",
            bind="query-params",
        )
        columns = [*IDENTITY, *custom]
    return columns, str(sort_column), bool(ascending)


def _describe(
    text: str | None,
    precisions: list[str],
    runtimes: list[str] | None,
    accuracy: Group | None,
    speed: Group | None,
    sort_column: str,
    ascending: bool,
) -> str:
    parts = [f"models containing {text!r}"] if text else ["all models"]
    parts.append(", ".join(precisions))
    if runtimes is not None:
        parts.append(f"in {', '.join(map(label_of, runtimes)) or 'no runtime'}")
    parts.append(f"accuracy on {accuracy.label if accuracy else 'any images'}")
    parts.append(f"speed at {speed.label if speed else 'any configuration'}")
    parts.append(
        f"sorted by {header_of(sort_column)}, {'ascending' if ascending else 'descending'}"
    )
    return "; ".join(parts) + "."


def clear_filters() -> None:
    """Callback: clears all filters."""
    st.session_state["model"] = ""
    st.session_state["precision"] = precision_names()
    st.session_state.pop("runtime", None)
    st.session_state.pop("tag", None)
    st.session_state["dataset"] = ANY
    st.session_state["speed"] = ANY
