"""The documents in docs/, as markdown that a page can show."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import streamlit as st

from engine.config import REPOSITORY

FOLDER = REPOSITORY / "docs"
MAX_BYTES = 2_000_000
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@st.cache_data(show_spinner=False, max_entries=1)
def documents() -> dict[str, str]:
    """The text of each document by its name, `dashboard` first; links lead to this page."""
    if not FOLDER.is_dir():
        return {}
    paths = sorted(path for path in FOLDER.glob("*.md") if path.stat().st_size <= MAX_BYTES)
    texts = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    first = {"dashboard": texts.pop("dashboard")} if "dashboard" in texts else {}
    return {name: _shown(text, {*first, *texts}) for name, text in {**first, **texts}.items()}


def _shown(text: str, names: set[str]) -> str:
    """Without pictures; links to other documents open them here, other links become text."""

    def link(found: re.Match[str]) -> str:
        name = Path(found[2]).stem
        return f"[{found[1]}](/help?document={name})" if name in names else found[1]

    return _LINK.sub(link, _IMAGE.sub("", text))


def sections(text: str) -> dict[str, str]:
    """The parts of a document by the anchor of their heading; the part before is ``."""
    starts = [0, *(match.start() for match in _HEADING.finditer(text)), len(text)]
    parts = [text[a:b] for a, b in pairwise(starts)]
    return {anchor_of(part): part for part in parts if part.strip()}


def anchor_of(part: str) -> str:
    """`new-run` of a part that begins with `## New run`; empty without a heading."""
    found = _HEADING.match(part)
    return "" if found is None else re.sub(r"[^a-z0-9]+", "-", found[1].lower()).strip("-")
