"""The layers of an int8 build: SQNR, ranges, and layers excluded from quantization."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts.layers import MAX_LAYERS, layer_sqnr
from dashboard.components.common.theme import chart_config, current_palette
from db.models import Artifact
from engine.build.int8.layer_reports import load_layer_report

MEASURES = {
    "effect_db": "Logits SQNR with only this layer in int8 (dB; higher is better)",
    "output_sqnr_db": "Output SQNR of the layer (dB; higher is better)",
    "weights_sqnr_db": "Weights SQNR of the layer (dB; higher is better)",
}
COLUMNS: dict[str, Any] = {
    "layer": "layer",
    "precision": "precision",
    "macs_share": st.column_config.ProgressColumn("MACs", format="percent", max_value=1.0),
    "effect_db": st.column_config.NumberColumn("logits SQNR (dB)", format="%.1f"),
    "weights_sqnr_db": st.column_config.NumberColumn("weights SQNR (dB)", format="%.1f"),
    "output_sqnr_db": st.column_config.NumberColumn("output SQNR (dB)", format="%.1f"),
    "low": st.column_config.NumberColumn("range min", format="%.3g"),
    "high": st.column_config.NumberColumn("range max", format="%.3g"),
    "saturated": st.column_config.NumberColumn("saturated", format="percent"),
    "reason": "reason for float",
}


def show_layers(artifact: Artifact | None) -> None:
    """Chart and table of a build that has a layer report; nothing for other builds."""
    report = load_layer_report(artifact.digest) if artifact is not None else None
    if report is None:
        return
    layers = pd.DataFrame([layer.dump() for layer in report.layers])
    with st.expander("Sensitivity by layer (int8)", icon=":material/stacked_bar_chart:"):
        changed = report.changed_classes
        st.markdown(
            f"**{report.macs_in_int8:.1%}** of the MACs are in int8. Top-1 agreement with fp32 "
            f"on the calibration images: **{changed.images - changed.changed}/{changed.images}**."
        )
        available = {name: text for name, text in MEASURES.items() if layers[name].notna().any()}
        if available:
            _chart(layers, available)
        st.dataframe(
            layers[list(COLUMNS)],
            column_config=COLUMNS,
            hide_index=True,
            placeholder="–",
            alt="Layers of the int8 build, one row per layer",
        )
        st.caption(
            "The input of a HardSwish is clipped where its output is 0. There, a high saturation "
            "and a low output SQNR are no loss."
        )


def _chart(layers: pd.DataFrame, measures: dict[str, str]) -> None:
    measure = st.selectbox(
        "Measure", list(measures), format_func=measures.__getitem__, key="layer_by"
    )
    count = min(MAX_LAYERS, int(layers[measure].notna().sum()))
    takeaway = f"The {count} layers with the lowest SQNR, of {layers['layer'].size}."
    st.caption(takeaway)
    figure = layer_sqnr(layers, measure, current_palette())
    st.plotly_chart(figure, key="layers", config=chart_config(), theme=None, alt=takeaway)
