"""Prefilling of New run: an earlier request becomes the values of the widgets."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.run_form import choices
from dashboard.components.run_form.controls import CONTROLS, PREFILLED_FIELDS
from dashboard.components.run_form.models import model_values
from dashboard.components.run_form.options import option_values
from dashboard.components.run_form.preparation import EVALUATION, EXPORT, protocol_values
from engine.runs.fields import FIELDS
from engine.runs.request import RunRequest

REQUEST_KEY = "request_to_clone"


def remember_request(request: dict[str, Any]) -> None:
    """Stores a request that prefills New run when it is opened next."""
    st.session_state[REQUEST_KEY] = request


def apply_remembered_request() -> bool:
    """Sets the widgets from the remembered request, before they are drawn; False without one.

    Raises pydantic's ValidationError for a request of an incompatible version.
    """
    request = st.session_state.pop(REQUEST_KEY, None)
    if request is None:
        return False
    st.session_state.update(widget_values(RunRequest.model_validate(request)))
    return True


def widget_values(request: RunRequest) -> dict[str, Any]:
    """Values of all widgets of New run, by key; they hold every field of the request."""
    kind, models = model_values(request)
    tasks = [choices.tasks_control(can_evaluate) for can_evaluate in (True, False)]
    return {
        "from": kind,
        **models,
        **_weights_values(request),
        **{c.key: c.to_widget(getattr(request, name)) for name, c in CONTROLS.items()},
        **{control.key: control.to_widget(request.tasks) for control in tasks},
        choices.dataset_control(kind).key: request.dataset or choices.NO_DATASET,
        **option_values(request, kind),
        **protocol_values(EXPORT, request.preprocess),
        **protocol_values(EVALUATION, request.evaluation_preprocess),
        PREFILLED_FIELDS: [
            name
            for name in RunRequest.model_fields
            if getattr(request, name) != FIELDS[name].default
        ],
    }


def _weights_values(request: RunRequest) -> dict[str, Any]:
    """The widget values of the weights; an ONNX file is its own."""
    weights = request.weights
    if request.model_id.startswith("onnx/"):
        return {}
    kinds = {kind: name for name, kind in choices.WEIGHTS.items()}
    return {
        "weights": kinds[weights.kind],
        "weights_file_path": weights.path or "",
        choices.WEIGHTS_KEY.key: choices.WEIGHTS_KEY.to_widget(weights.key),
        choices.WEIGHTS_SEED.key: weights.seed,
    }
