"""The options of a new run: how it is calibrated, built, measured, exported and prepared."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.run_form.choices import BUILT_IN, ONNX
from dashboard.components.run_form.controls import Control, Form, Number, Select, is_prefilled
from dashboard.components.run_form.preparation import (
    EVALUATION,
    EXPORT,
    draw_preprocess_settings,
    draw_protocol,
)
from engine.catalog.models import find_model
from engine.errors import WorkbenchError
from engine.preprocess import PreprocessSpec
from engine.runs.fields import FIELDS
from engine.runs.request import BUILTIN_CALIBRATION, DEMO, Task
from engine.specs import Scenario

AUTOMATIC = "automatic"


def draw_options(form: Form, kind: str, model_id: str) -> None:
    """Draws all options, and takes their fields."""
    with st.expander("Options", icon=":material/tune:"):
        _calibration(form, kind)
        _build(form)
        _benchmark(form, kind)
        _export(form)
        if Task.EVALUATE in form.fields.get("tasks", ()) or is_prefilled(EVALUATION):
            draw_protocol(form, EVALUATION, _published(model_id))
    _preparation(form, kind, model_id)


def calibration_control(kind: str) -> Control:
    """Of the calibration dataset; the demo has a set of its own."""
    return Select("calibration_dataset", f"calibrate_for_{kind}")


def duration_control(kind: str) -> Control:
    """Of the longest time of a benchmark; the demo is a short one."""
    return Number("benchmark_max_s", f"benchmark_max_s_{kind}")


def _calibration(form: Form, kind: str) -> None:
    names = [row.name for row in queries.datasets() if row.name != BUILTIN_CALIBRATION]
    control = calibration_control(kind)
    left, right = st.columns(2)
    options = [AUTOMATIC, BUILTIN_CALIBRATION, *names]
    chosen = left.selectbox(
        options=options + [one for one in control.choices() if one not in options],
        index=1 if kind == BUILT_IN else 0,
        **control.settings(),
    )
    form.fields["calibration_dataset"] = None if chosen == AUTOMATIC else str(chosen)
    form.take("calibration_images", right)


def _build(form: Form) -> None:
    left, right = st.columns(2)
    form.take("calibration_mode", left)
    form.take("calibration_percentile", right, step=0.001)
    form.take("keep_in_float", left, placeholder="none")
    form.take("softmax", right)
    form.take("max_drop", left, step=0.1, placeholder="no limit: the default recipe")
    form.take("target", right)


def _benchmark(form: Form, kind: str) -> None:
    left, right = st.columns(2)
    form.take("batches", left)
    form.take("limit", right, placeholder="all")
    form.take("threads", left)
    form.take("instances", right)
    control, usual = duration_control(kind), FIELDS["benchmark_max_s"].default
    usual = DEMO.benchmark_max_s if kind == BUILT_IN else usual
    longest = control.draw(left, value=usual, step=1.0)
    form.note("benchmark_max_s", lambda: control.from_widget(longest))
    form.take("provider", right)
    form.take("again")
    scenario = form.take("scenario")
    left, right = st.columns(2)
    if scenario == Scenario.SERVER:
        form.take("limit_ms", left, placeholder="needed")
        form.take("rate_per_s", right, placeholder="search the highest")
    if scenario == Scenario.SERVER or is_prefilled("arrivals_seed"):
        form.take("arrivals_seed", left)


def _export(form: Form) -> None:
    left, right = st.columns(2)
    form.take("format", left)
    form.take("via", right)


def _preparation(form: Form, kind: str, model_id: str) -> None:
    """The preprocessing, and the outputs of an ONNX file; the demo's images need nothing."""
    if kind == ONNX:
        with st.expander("How images are prepared for this file", icon=":material/crop:"):
            st.caption(
                "A wrong guess costs accuracy. Default: short side 256, center crop 224, bilinear, "
                "ImageNet mean and std."
            )
            if st.toggle("Custom preprocessing", key="own_preprocessing", persist_state="session"):
                draw_preprocess_settings(form, EXPORT, PreprocessSpec())
            form.take("background", placeholder="none")
            form.take("output", placeholder="found by its number of classes")
        return
    if kind != BUILT_IN or is_prefilled(EXPORT):
        draw_protocol(form, EXPORT, _published(model_id))
    for name, shown in (("background", "none"), ("output", "the only one")):
        if is_prefilled(name):
            form.take(name, placeholder=shown)


def _published(model_id: str) -> PreprocessSpec:
    """The model's own preprocessing, or what is usual."""
    try:
        return find_model(model_id).preprocess or PreprocessSpec()
    except WorkbenchError:
        return PreprocessSpec()


def option_values(request: Any, kind: str) -> dict[str, Any]:
    """The widgets' values for the fields of a request that have a key for each kind of model."""
    duration = duration_control(kind)
    return {
        duration.key: duration.to_widget(request.benchmark_max_s),
        calibration_control(kind).key: request.calibration_dataset or AUTOMATIC,
        "own_preprocessing": kind == ONNX and request.preprocess is not None,
    }
