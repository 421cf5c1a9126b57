"""Actions on the build of a selected row: tag and note, hide, delete with what depends on it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.common.guard import guard_callback
from dashboard.components.common.notice import leave_notice
from dashboard.formats import escape_markdown
from db.models import Annotation
from engine.results.annotations import (
    MAX_NOTE,
    MAX_TAG,
    annotate,
    annotation_of,
    delete_build,
    dependents_of,
)


def row_actions(row: dict[str, Any]) -> None:
    """The buttons; the fields of a build are empty or hold what was written before."""
    digest = str(row["artifact_digest"])
    name = f"{row['model_id']} {row['precision']}"
    stored = annotation_of(digest, queries.url())
    _tag_and_note(digest, stored)
    st.button(
        "Unhide" if stored.hidden else "Hide",
        key="hide_build",
        icon=":material/visibility:" if stored.hidden else ":material/visibility_off:",
        on_click=_hide,
        args=(digest, stored, name),
        help="A hidden build is left out of tables, charts and recommendations; nothing is "
        "deleted. The filters bring it back.",
    )
    with st.popover("Delete", icon=":material/delete:", key="delete_popover"):
        depends = dependents_of(digest, queries.url()).text()
        st.markdown(
            f"Delete **{escape_markdown(name)}** ({digest[:12]}) with {depends}, and their files? "
            "This cannot be undone."
        )
        st.button(
            "Delete it",
            key="delete_build",
            type="primary",
            icon=":material/delete_forever:",
            on_click=_delete,
            args=(digest, name),
        )


def _tag_and_note(digest: str, stored: Annotation) -> None:
    form = f"annotation_{digest}"
    box = st.popover("Tag and note", icon=":material/sell:", key="annotate")
    with box, st.form(form, border=False):
        tag = st.text_input(
            "Tag", stored.tag or "", max_chars=MAX_TAG, key=f"tag_{digest}", width=300
        )
        note = st.text_area(
            "Note", stored.note or "", max_chars=MAX_NOTE, key=f"note_{digest}", width=300
        )
        if st.form_submit_button("Save", key="save_annotation", icon=":material/save:"):
            annotate(digest, queries.url(), tag=tag, note=note, hidden=stored.hidden)
            st.rerun()


def _hide(digest: str, stored: Annotation, name: str) -> None:
    """Callback: hides a build, or shows it again."""
    with guard_callback():
        annotate(digest, queries.url(), tag=stored.tag, note=stored.note, hidden=not stored.hidden)
        state = "shown again" if stored.hidden else "hidden; the filters bring it back"
        leave_notice(escape_markdown(f"{name} is {state}."))


def _delete(digest: str, name: str) -> None:
    """Callback: deletes a build."""
    with guard_callback():
        deleted = delete_build(digest, queries.url())
        leave_notice(escape_markdown(f"Deleted {name} with {deleted.text()}."))
