"""Chart settings of a browser session: palette and image format."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.charts.common import CONFIG, IMAGE_FORMATS, SELECTABLE, with_image_format
from dashboard.palette import Palette, palette_of

FORMAT_KEY = "chart_format"


def current_palette() -> Palette:
    """The palette of the light or dark theme of the browser."""
    return palette_of(st.context.theme.type)


def chart_config(*, selectable: bool = False) -> dict[str, Any]:
    """Plotly's config; the camera button saves the selected format (default PNG)."""
    form = str(st.session_state.get(FORMAT_KEY) or IMAGE_FORMATS[0])
    return with_image_format(SELECTABLE if selectable else CONFIG, form.lower())


def choose_image_format() -> None:
    """The format that the camera button of every chart saves."""
    st.segmented_control(
        "Chart image format",
        IMAGE_FORMATS,
        default=IMAGE_FORMATS[0],
        required=True,
        key=FORMAT_KEY,
        bind="query-params",
        help="Format of the camera button on charts.",
    )
