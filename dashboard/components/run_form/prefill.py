"""An earlier request as the starting point of a new one: fills the widgets of New run."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.run_form.build_options import build_values
from dashboard.components.run_form.choices import (
    BUILT_IN,
    CATALOG,
    NO_DATASET,
    ONNX,
    OTHER_TIMM,
    WEIGHTS,
)
from dashboard.components.run_form.options import BATCHES, INSTANCES, PROVIDERS, THREADS
from engine.catalog.models import catalog, find_model
from engine.preprocess import PreprocessSpec
from engine.preprocess.pixel_scale import raw_levels
from engine.preprocess.protocols import VENDOR, Protocol
from engine.preprocess.spec import PIXEL_SCALE
from engine.runs.requests import BUILTIN_DATASETS, RunRequest

KEY = "request_to_clone"


def leave_request(request: dict[str, Any]) -> None:
    """Remembers a request for the next time New run is opened."""
    st.session_state[KEY] = request


def take_request() -> bool:
    """Writes a remembered request into the widgets, before they are drawn; whether there was one.

    Raises pydantic's ValidationError for a request of another version.
    """
    found = st.session_state.pop(KEY, None)
    if found is None:
        return False
    request = RunRequest.model_validate(found)
    known = {row.name for row in queries.datasets()} | set(BUILTIN_DATASETS)
    st.session_state.update(widget_values(request, known))
    return True


def widget_values(request: RunRequest, known_datasets: set[str]) -> dict[str, Any]:
    """The value of each widget, by its key; a dataset that is gone is left as proposed."""
    kind, model = _model(request)
    tasks = [str(task) for task in request.tasks]
    values: dict[str, Any] = {
        "from": kind,
        **model,
        "precisions": [str(precision) for precision in request.precisions],
        "tasks": tasks,
        "tasks_without_accuracy": tasks,
        "calibration_images": request.calibration_images,
        "batches": [batch for batch in request.batches if batch in BATCHES],
        "limit": request.limit or 0,
        "threads": [count for count in request.threads if count in THREADS],
        "instances": [count for count in request.instances if count in INSTANCES],
        "again": request.again,
        "scenario": str(request.scenario),
        "limit_ms": request.limit_ms,
        "rate_per_s": request.rate_per_s,
        f"max_s_{kind}": int(request.benchmark_max_s),
        **build_values(request),
        **_preparation(kind, request),
    }
    if request.provider in PROVIDERS:
        values["provider"] = request.provider
    if request.dataset is None or request.dataset in known_datasets:
        values[f"dataset_for_{kind}"] = request.dataset or NO_DATASET
    if request.calibration_dataset in known_datasets:
        values[f"calibrate_for_{kind}"] = request.calibration_dataset
    return values


def _model(request: RunRequest) -> tuple[str, dict[str, Any]]:
    """Where the model comes from, and the widgets of that choice."""
    weights = {
        "weights": next(name for name, kind in WEIGHTS.items() if kind == request.weights.kind),
        "weights_file_path": request.weights.path or "",
        "weights_key": request.weights.key or "",
    }
    source, _, name = request.model_id.partition("/")
    if source == "demo":
        return BUILT_IN, {}
    if source == "onnx":
        return ONNX, {
            "onnx_path": request.weights.path or "",
            "onnx_output": request.output or "",
        }
    if request.model_id in catalog():
        return CATALOG, {"catalog_model": request.model_id, **weights}
    return OTHER_TIMM, {"timm_name": name, **weights}


def _preparation(kind: str, request: RunRequest) -> dict[str, Any]:
    spec = request.preprocess
    if kind == BUILT_IN:
        return {}
    if kind != ONNX and spec == VENDOR.to_dict():
        return {"protocol": str(Protocol.VENDOR)}
    if spec is None:
        return {"protocol": str(Protocol.PUBLISHED)} if kind != ONNX else {}
    own_way = find_model(request.model_id).preprocess
    full = (own_way or PreprocessSpec()).with_overrides(spec)
    divided = full.scale == PIXEL_SCALE
    mean, std = (full.mean, full.std) if divided else raw_levels(full)
    own = {
        "pre_resize": full.resize or 0,
        "pre_crop": full.crop,
        "pre_mode": str(full.resize_mode),
        "pre_interpolation": str(full.interpolation),
        "pre_resizer": str(full.resizer),
        "pre_color": str(full.color),
        "pre_div255": divided,
        # In full: half floats of the vendor's files have more digits than are usually shown.
        "pre_mean": " ".join(map(repr, mean)),
        "pre_std": " ".join(map(repr, std)),
    }
    switch = {"own_preprocessing": True} if kind == ONNX else {"protocol": str(Protocol.CUSTOM)}
    return {**own, **switch, "background": request.background == 0}
