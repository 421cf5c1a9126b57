"""The catalog as a sortable table with a checkbox for each row."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import queries
from engine.catalog.models import catalog

CATALOG_MODELS, _GROUP = "catalog_models", "catalog_group"
_VERSION, _MOUNTED = "catalog_table_version", "catalog_table_mounted"
_START = "catalog_table_start"
_HEIGHT = 280
SHORT_LABELS = {"timm": "timm", "mmcls": "mmcls", "ppcls": "PaddleClas"}


def choose_from_catalog(default: Sequence[str]) -> list[str]:
    """The ids of the chosen rows, in the order in which they were chosen.

    The list of names and the table are two views of one choice: whichever is changed, the other
    follows.
    """
    st.pills(
        "Select all of a source",
        list(_groups()),
        key=_GROUP,
        on_change=_select_group,
        label_visibility="collapsed",
    )
    chosen = st.multiselect(
        "Catalog models",
        list(catalog()),
        default=list(default),
        key=CATALOG_MODELS,
        persist_state="session",
        select_all=False,
        label_visibility="collapsed",
        placeholder="Select models: type a name, or check rows of the table",
    )
    _table(list(chosen))
    return list(chosen)


def _groups() -> dict[str, list[str]]:
    """`All timm` and so on, `All 25`, and `None`, with their models."""
    groups = {
        f"All {label}": [model.id for model in catalog().values() if model.source == source]
        for source, label in SHORT_LABELS.items()
    }
    return {**groups, f"All {len(catalog())}": list(catalog()), "None": []}


def _select_group() -> None:
    """Callback: adds the models of a group to the choice; None empties it."""
    ids = _groups().get(str(st.session_state.get(_GROUP)), [])
    chosen = st.session_state.get(CATALOG_MODELS) or []
    st.session_state[CATALOG_MODELS] = list(dict.fromkeys([*chosen, *ids])) if ids else []
    st.session_state[_GROUP] = None


def _table(chosen: list[str]) -> None:
    frame = queries.catalog_table()
    ids = list(frame.index)
    # A table keeps its selection; one under a new key starts with the selection given to it. It is
    # new where the choice was changed elsewhere, and where the page was left.
    state = st.session_state
    if state.get(_MOUNTED) != chosen or f"catalog_table_{state.get(_VERSION)}" not in state:
        state[_VERSION], state[_MOUNTED] = state.get(_VERSION, 0) + 1, chosen
        state[_START] = [ids.index(name) for name in chosen]
    key = f"catalog_table_{state[_VERSION]}"
    column = st.column_config
    st.dataframe(
        frame,
        key=key,
        on_select=lambda: _take(key, ids),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": state[_START]}},
        hide_index=True,
        height=_HEIGHT,
        alt="Models of the catalog, with a checkbox for each",
        column_config={
            "model": column.TextColumn("Model"),
            "source": column.TextColumn("Source"),
            "params_m": column.NumberColumn("Parameters (M)", format="%.1f"),
            "gmacs": column.NumberColumn(
                "GMACs",
                format="%.2f",
                help="Multiply-accumulates per image, counted on the export; estimated from the "
                "published FLOPs where the model was not exported here.",
            ),
            "top1": column.NumberColumn("Published top-1 (%)", format="%.2f"),
            "here": column.TextColumn(
                "On this machine", help="Weights, export and builds that exist already."
            ),
        },
    )


def _take(key: str, ids: list[str]) -> None:
    """Callback of the table: the checked rows become the choice, earlier ones first."""
    rows = st.session_state[key]["selection"]["rows"]
    checked = [ids[row] for row in rows if row < len(ids)]
    before = st.session_state.get(CATALOG_MODELS) or []
    chosen = [name for name in before if name in checked]
    chosen += [name for name in checked if name not in chosen]
    st.session_state[CATALOG_MODELS] = st.session_state[_MOUNTED] = chosen
