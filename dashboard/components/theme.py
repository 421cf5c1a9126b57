"""The colours of the theme that this browser shows."""

from __future__ import annotations

import streamlit as st

from dashboard.palette import Palette, palette_of


def current_palette() -> Palette:
    """By the browser's light or dark theme."""
    return palette_of(st.context.theme.type)
