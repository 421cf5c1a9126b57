"""How charts look and are saved in this browser: colors of its theme, format of its camera."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.charts.common import CONFIG, IMAGE_FORMATS, SELECTABLE, with_image_format
from dashboard.palette import Palette, palette_of

FORMAT_KEY = "chart_format"


def current_palette() -> Palette:
    """By the browser's light or dark theme."""
    return palette_of(st.context.theme.type)


def chart_config(*, selectable: bool = False) -> dict[str, Any]:
    """The buttons of a chart; the camera saves what was chosen on the page (PNG at first)."""
    form = str(st.session_state.get(FORMAT_KEY) or IMAGE_FORMATS[0])
    return with_image_format(SELECTABLE if selectable else CONFIG, form.lower())


def choose_image_format() -> None:
    """What the camera button of every chart saves."""
    st.segmented_control(
        "Charts are saved as",
        IMAGE_FORMATS,
        default=IMAGE_FORMATS[0],
        required=True,
        key=FORMAT_KEY,
        bind="query-params",
        help="By the camera button that appears on a chart.",
    )
