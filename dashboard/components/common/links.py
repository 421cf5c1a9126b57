"""Links that pin all choices of a page, and what a link asks for that is not here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dashboard.formats import escape_markdown
from engine.text import quoted

NOTES = "link_notes"
"""In the session state: for each query parameter, what was said of it, and the choice instead."""


def link_to(base: str, values: Mapping[str, Any]) -> str:
    """The address `base` with all `values` (lists: one parameter each) as query parameters.

    An empty field is part of it, as an empty parameter: its default may be a number.
    """
    pairs = []
    for key, value in values.items():
        several = isinstance(value, list | tuple)
        for one in value if several else [value]:
            text = "" if one is None else str(one).lower() if isinstance(one, bool) else one
            pairs.append((key, f"{text:g}" if isinstance(text, float) else str(text)))
    return f"{base.partition('?')[0]}?{urlencode(pairs)}"


@st.fragment
def copy_link(keys: Iterable[str]) -> None:
    """A button that shows the link to the page as it is; `keys`: of all its bound widgets.

    The link is made when it is opened, so that it holds what was chosen last.
    """
    with st.popover("Copy link", icon=":material/link:", key="copy_link", on_change="rerun") as box:
        if not box.open:
            return
        state = st.session_state
        values = {key: state[key] for key in keys if key in state}
        st.caption("It pins images, machine, constraints, view and axes, also those by default.")
        st.code(link_to(st.context.url or "", values), language=None, wrap_lines=True)


def note_unknown(key: str, options: Collection[str], label: str) -> None:
    """Notes what the link of this page asks for that is not among `options`.

    Call it before the widget `key` is drawn, which then takes its default.
    """
    if key in st.session_state:
        return
    unknown = [value for value in st.query_params.get_all(key) if value and value not in options]
    if unknown:
        asked = " and ".join(map(quoted, unknown))
        st.session_state.setdefault(NOTES, {})[key] = (label, asked)


def show_link_notes(shown: Mapping[str, Any]) -> None:
    """Says which values of the link are not here, until their fields are changed.

    `shown`: what the fields show instead, by key.
    """
    notes, first = st.session_state.get(NOTES, {}), f"{NOTES}_first"
    begun = st.session_state.setdefault(first, {})
    lines = []
    for key, (label, asked) in notes.items():
        if begun.setdefault(key, shown.get(key)) != shown.get(key):
            continue
        instead = shown.get(key)
        text = ", ".join(map(str, instead)) if isinstance(instead, list) else instead
        rest = f" Shown instead: {escape_markdown(str(text))}." if text else " It is ignored."
        lines.append(
            f"This link asks for {escape_markdown(label)} {escape_markdown(asked)}, which is not "
            f"here.{rest}"
        )
    if lines:
        st.warning("  \n".join(lines), icon=":material/link_off:")
