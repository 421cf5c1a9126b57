"""The catalog as a sortable table with a checkbox for each row."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import queries
from engine.catalog.models import catalog

CATALOG_MODELS = "catalog_models"
_VERSION, _MOUNTED = "catalog_table_version", "catalog_table_mounted"
_HEIGHT = 280
SHORT_LABELS = {"timm": "timm", "mmcls": "mmcls", "ppcls": "PaddleClas"}


def choose_from_catalog(default: Sequence[str]) -> list[str]:
    """The ids of the chosen rows, in the order in which they were chosen.

    The list of names and the table are two views of one choice: whichever is changed, the other
    follows.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, ids in _groups().items():
            st.button(label, key=f"all_{label}", on_click=_select, args=(ids,), type="tertiary")
        st.button("Clear", key="clear_catalog", on_click=_select, args=([],), type="tertiary")
    chosen = st.multiselect(
        "Catalog models",
        list(catalog()),
        default=list(default),
        key=CATALOG_MODELS,
        persist_state="session",
        label_visibility="collapsed",
        placeholder="Select models: type a name, or check rows of the table",
    )
    _table(list(chosen))
    return list(chosen)


def _groups() -> dict[str, list[str]]:
    """`All timm` and so on, and `All 25`, with their models."""
    groups = {
        f"All {label}": [model.id for model in catalog().values() if model.source == source]
        for source, label in SHORT_LABELS.items()
    }
    return {**groups, f"All {len(catalog())}": list(catalog())}


def _select(ids: list[str]) -> None:
    """Callback: adds these models to the choice; without any, empties it."""
    chosen = st.session_state.get(CATALOG_MODELS) or []
    st.session_state[CATALOG_MODELS] = list(dict.fromkeys([*chosen, *ids])) if ids else []


def _table(chosen: list[str]) -> None:
    frame = queries.catalog_table()
    ids = list(frame.index)
    # A table keeps its selection; one under a new key starts with the selection given to it.
    if st.session_state.get(_MOUNTED) != chosen:
        st.session_state[_VERSION] = st.session_state.get(_VERSION, 0) + 1
        st.session_state[_MOUNTED] = chosen
    key = f"catalog_table_{st.session_state[_VERSION]}"
    column = st.column_config
    st.dataframe(
        frame,
        key=key,
        on_select=lambda: _take(key, ids),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(name) for name in chosen]}},
        hide_index=True,
        height=_HEIGHT,
        alt="Models of the catalog, with a checkbox for each",
        column_config={
            "model": column.TextColumn("Model", pinned=True),
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
