"""The options of New run: calibration, build, benchmark, export and preprocessing."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.run_form.choices import note_preparation
from dashboard.components.run_form.controls import Control, Form, Number, Select, is_prefilled
from dashboard.components.run_form.kinds import BUILT_IN, ONNX
from dashboard.components.run_form.preparation import (
    EVALUATION,
    EXPORT,
    draw_preprocess_settings,
    draw_protocol,
)
from dashboard.components.run_form.to_fix import field_to_fix
from engine.catalog.models import find_model
from engine.errors import WorkbenchError
from engine.preprocess import PreprocessSpec
from engine.runs.fields import FIELDS
from engine.runs.request import BUILTIN_CALIBRATION, DEMO, Task
from engine.specs import Scenario

AUTOMATIC = "automatic"


def draw_options(form: Form, kind: str, model_id: str) -> None:
    """Draws all options and stores their fields."""
    expanded = field_to_fix() in ("calibration_dataset", "provider")
    with st.expander("Options", icon=":material/tune:", expanded=expanded):
        _calibration(form, kind)
        _build(form)
        _benchmark(form, kind)
        _export(form)
        if Task.EVALUATE in form.fields.get("tasks", ()) or is_prefilled(EVALUATION):
            draw_protocol(form, EVALUATION, _published(model_id))
    _preparation(form, kind, model_id)


def calibration_control(kind: str) -> Control:
    """Control of the calibration dataset; the demo has its own default."""
    return Select("calibration_dataset", f"calibrate_for_{kind}")


def duration_control(kind: str) -> Control:
    """Control of the max duration of a benchmark; the demo has its own default."""
    return Number("benchmark_max_s", f"benchmark_max_s_{kind}")


def _calibration(form: Form, kind: str) -> None:
    known = queries.available_datasets()
    names = [name for name in known.names() if name != BUILTIN_CALIBRATION]
    control = calibration_control(kind)
    left, right = st.columns(2)
    options = [AUTOMATIC, BUILTIN_CALIBRATION, *names]
    chosen = left.selectbox(
        options=options + [name for name in control.choices() if name not in options],
        index=1 if kind == BUILT_IN else 0,
        **control.settings(),
    )
    named = None if chosen == AUTOMATIC else str(chosen)
    form.store("calibration_dataset", lambda: named, left)
    note_preparation(chosen, known, left)
    form.draw("calibration_images", right)


def _build(form: Form) -> None:
    left, right = st.columns(2)
    form.draw("calibration_mode", left)
    form.draw("calibration_percentile", right, step=0.001)
    form.draw("keep_in_float", left, placeholder="none")
    form.draw("softmax", right)
    form.draw("max_drop", left, step=0.1, placeholder="none")
    form.draw("target", right)
    form.draw("bias_correction", left)


def _benchmark(form: Form, kind: str) -> None:
    left, right = st.columns(2)
    form.draw("batches", left)
    form.draw("limit", right, placeholder="all")
    form.draw("threads", left)
    form.draw("instances", right)
    control, default_s = duration_control(kind), FIELDS["benchmark_max_s"].default
    default_s = DEMO.benchmark_max_s if kind == BUILT_IN else default_s
    max_s = control.draw(left, value=default_s, step=1.0)
    form.store("benchmark_max_s", lambda: control.from_widget(max_s))
    form.draw("provider", right)
    form.draw("again")
    form.draw("compare_fp32")
    scenario = form.draw("scenario")
    left, right = st.columns(2)
    if scenario == Scenario.SERVER:
        form.draw("limit_ms", left, placeholder="required")
        form.draw("rate_per_s", right, placeholder="search the highest rate")
    if scenario == Scenario.SERVER or is_prefilled("arrivals_seed"):
        form.draw("arrivals_seed", left)


def _export(form: Form) -> None:
    left, right = st.columns(2)
    form.draw("format", left)
    form.draw("via", right)


def _preparation(form: Form, kind: str, model_id: str) -> None:
    """The preprocessing, and the outputs of an ONNX file; not needed for the demo."""
    if kind == ONNX:
        with st.expander("Preprocessing and outputs of this file", icon=":material/crop:"):
            st.caption(
                "Default: short side 256, center crop 224, bilinear, ImageNet mean and std. A "
                "wrong preprocessing lowers the accuracy."
            )
            if st.toggle("Custom preprocessing", key="own_preprocessing", persist_state="session"):
                draw_preprocess_settings(form, EXPORT, PreprocessSpec())
            form.draw("background", placeholder="none")
            form.draw("output", placeholder="by number of classes")
        return
    if kind != BUILT_IN or is_prefilled(EXPORT):
        draw_protocol(form, EXPORT, _published(model_id))
    for name, placeholder in (("background", "none"), ("output", "the only output")):
        if is_prefilled(name):
            form.draw(name, placeholder=placeholder)


def _published(model_id: str) -> PreprocessSpec:
    """The published preprocessing of the model, or the default."""
    try:
        return find_model(model_id).preprocess or PreprocessSpec()
    except WorkbenchError:
        return PreprocessSpec()


def option_values(request: Any, kind: str) -> dict[str, Any]:
    """Widget values by key, of the fields whose key depends on the kind of model."""
    duration = duration_control(kind)
    return {
        duration.key: duration.to_widget(request.benchmark_max_s),
        calibration_control(kind).key: request.calibration_dataset or AUTOMATIC,
        "own_preprocessing": kind == ONNX and request.preprocess is not None,
    }
