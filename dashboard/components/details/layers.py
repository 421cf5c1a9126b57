"""The layers of an int8 build: which rounding costs most, what stayed in float and why."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts.layers import MOST_LAYERS, layer_signal
from dashboard.components.common.theme import chart_config, current_palette
from db.models import Artifact
from engine.build.int8.layer_reports import load_layer_report

MEASURES = {
    "effect_db": "Signal left in the scores when this layer alone is rounded (dB; more is better)",
    "output_sqnr_db": "Signal to rounding noise in the layer's output (dB; more is better)",
    "weights_sqnr_db": "Signal to rounding noise in the layer's weights (dB; more is better)",
}
COLUMNS: dict[str, Any] = {
    "layer": "layer",
    "precision": "computes in",
    "macs_share": st.column_config.ProgressColumn("work", format="percent", max_value=1.0),
    "effect_db": st.column_config.NumberColumn("scores (dB)", format="%.1f"),
    "weights_sqnr_db": st.column_config.NumberColumn("weights (dB)", format="%.1f"),
    "output_sqnr_db": st.column_config.NumberColumn("output (dB)", format="%.1f"),
    "low": st.column_config.NumberColumn("range from", format="%.3g"),
    "high": st.column_config.NumberColumn("to", format="%.3g"),
    "saturated": st.column_config.NumberColumn("beyond it", format="percent"),
    "reason": "why in float",
}


def show_layers(artifact: Artifact | None) -> None:
    """Chart and table of a build that has a report of its layers; else nothing."""
    report = load_layer_report(artifact.digest) if artifact is not None else None
    if report is None:
        return
    layers = pd.DataFrame([layer.dump() for layer in report.layers])
    with st.expander("What int8 did to each layer", icon=":material/stacked_bar_chart:"):
        changed = report.changed_classes
        st.markdown(
            f"**{report.macs_in_int8:.1%}** of the multiply-accumulates compute in int8; "
            f"**{changed.changed} of {changed.images}** calibration images get another class "
            f"than in fp32."
        )
        known = {name: text for name, text in MEASURES.items() if layers[name].notna().any()}
        if known:
            _chart(layers, known)
        st.dataframe(
            layers[list(COLUMNS)],
            column_config=COLUMNS,
            hide_index=True,
            placeholder="–",
            alt="What int8 did to each layer, one row a layer",
        )
        st.caption(
            "What a HardSwish reads is cut where its output is 0: there, a large share beyond the "
            "range and a low figure for the output mean no loss."
        )


def _chart(layers: pd.DataFrame, known: dict[str, str]) -> None:
    measure = st.selectbox("Measure", list(known), format_func=known.__getitem__, key="layer_by")
    count = min(MOST_LAYERS, int(layers[measure].notna().sum()))
    takeaway = f"The {count} layers that lose most; {layers['layer'].size} in all."
    st.caption(takeaway)
    figure = layer_signal(layers, measure, current_palette())
    st.plotly_chart(figure, key="layers", config=chart_config(), theme=None, alt=takeaway)
