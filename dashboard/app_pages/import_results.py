"""Page Import: predictions and speeds of other machines, without the terminal."""

from __future__ import annotations

import streamlit as st

from dashboard.components.common.purpose import page_title
from dashboard.components.imports.predictions import import_predictions
from dashboard.components.imports.speeds import import_speeds

PREDICTIONS, SPEEDS = "Predictions", "Speeds"

page_title("Import")
kind = st.segmented_control(
    "What the file holds",
    [PREDICTIONS, SPEEDS],
    default=PREDICTIONS,
    required=True,
    key="kind",
    bind="query-params",
    label_visibility="collapsed",
)
if kind == SPEEDS:
    import_speeds()
else:
    import_predictions()
