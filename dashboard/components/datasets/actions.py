"""Renaming and removing a dataset, with what rests on it."""

from __future__ import annotations

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard_callback
from dashboard.components.common.notice import leave_notice
from dashboard.formats import escape_markdown, message
from db.models import Dataset
from engine.datasets.manage import remove_dataset, rename_dataset, uses_of


def actions(row: Dataset) -> None:
    """The two popovers of a card."""
    with st.popover("Rename", icon=":material/edit:", key=f"rename_{row.name}"):
        st.text_input("New name", value=row.name, key=f"new_name_{row.name}")
        st.button(
            "Rename dataset", key=f"rename_now_{row.name}", on_click=_rename, args=(row.name,)
        )
    with st.popover("Remove", icon=":material/delete:", key=f"remove_{row.name}"):
        uses = uses_of(row, queries.url())
        rests = uses.sentence()
        if rests:
            st.markdown(
                message(f"{rests}. They stay in the results; the changed images of a comparison "
                        f"can then not be shown.")
            )  # fmt: skip
        else:
            st.markdown("No result was made with it.")
        st.caption("Your own folder is not touched; images that were uploaded are removed.")
        if uses.live_jobs:
            st.warning(message(f"Still used by {uses.live_jobs[0]}."))
        st.button(
            "Remove dataset",
            key=f"remove_now_{row.name}",
            type="primary",
            disabled=bool(uses.live_jobs),
            on_click=_remove,
            args=(row.name,),
        )


def _rename(name: str) -> None:
    with guard_callback():
        new = str(st.session_state[f"new_name_{name}"]).strip()
        if new != name:
            rename_dataset(name, new, queries.url())
            leave_notice(f"{escape_markdown(name)} is now {escape_markdown(new)}.")


def _remove(name: str) -> None:
    with guard_callback():
        remove_dataset(name, queries.url())
        leave_notice(f"Dataset {escape_markdown(name)} was removed.")
