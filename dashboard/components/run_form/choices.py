"""The main choices of New run: model, weights, tasks, dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.classify.uploads import store_upload
from dashboard.components.common.guard import guard_callback
from dashboard.components.run_form.controls import (
    Control,
    Form,
    Number,
    Pills,
    Select,
    Text,
    is_prefilled,
)
from dashboard.formats import escape_markdown, message
from db.enums import WeightsKind
from engine.catalog.models import SOURCE_LABELS, catalog
from engine.errors import InvalidRequest
from engine.runs.fields import FIELDS
from engine.runs.request import BUILTIN_DATASETS, DEFAULT_TASKS, DEMO, Task

CATALOG, OTHER_TIMM, ONNX, BUILT_IN = (
    "Catalog",
    "Other timm model",
    "ONNX file",
    "Built-in demo",
)
WEIGHTS = {
    "Pretrained": WeightsKind.PRETRAINED,
    "From a file": WeightsKind.FILE,
    "Random": WeightsKind.RANDOM,
}
WEIGHTS_TYPES = ("pth", "pt", "tar", "bin", "safetensors", "pdparams", "pdiparams")
NO_DATASET = "none"
WEIGHTS_SEED = Number("weights.seed", "weights_seed")
WEIGHTS_KEY = Text("weights.key", "weights_key")


def choose_model() -> tuple[str, str, str | None]:
    """(kind of model, model id, path of the ONNX file or None)."""
    kind = st.segmented_control(
        "Model",
        [CATALOG, OTHER_TIMM, ONNX, BUILT_IN],
        default=CATALOG,
        required=True,
        key="from",
        bind="query-params",
        wrap=True,
        persist_state="session",
    )
    return str(kind), *_MODEL_CHOICES.get(str(kind), _from_catalog)()


def require_model_name(model_id: str) -> str:
    """The id. Raises InvalidRequest where the name is missing."""
    if model_id.endswith("/"):
        raise InvalidRequest("Select a model: enter its name, or give a file.")
    return model_id


def _from_catalog() -> tuple[str, str | None]:
    models = catalog()
    chosen = st.selectbox(
        "Catalog model",
        list(models),
        format_func=_catalog_label,
        key="catalog_model",
        persist_state="session",
        label_visibility="collapsed",
        help="Type to search. Sorted by source.",
    )
    return str(chosen), None


def _catalog_label(model_id: str) -> str:
    model = catalog()[model_id]
    source = SOURCE_LABELS[model.source]
    return f"{source} · {model.name} · published top-1 {model.published_top1:.2f} %"


def _other_timm() -> tuple[str, str | None]:
    name = st.text_input(
        "timm model name",
        key="timm_name",
        persist_state="session",
        placeholder="e.g. seresnet50",
        help="timm model name without a tag, e.g. seresnet50. It is checked at export.",
    )
    return f"timm/{(name or '').strip().removeprefix('timm/')}", None


def _onnx_file() -> tuple[str, str | None]:
    path = choose_file("ONNX file", "onnx", ("onnx",))
    stem = Path(path).stem[:100] if path else ""
    name = st.text_input(
        "Model name",
        key="onnx_name",
        placeholder=stem or "name of the file",
        persist_state="session",
    )
    return f"onnx/{(name or '').strip() or stem}", path


def _built_in() -> tuple[str, str | None]:
    st.caption("A small SE network, trained on synthetic images of 16 classes. Included.")
    return DEMO.model_id, None


_MODEL_CHOICES: dict[str, Callable[[], tuple[str, str | None]]] = {
    CATALOG: _from_catalog,
    OTHER_TIMM: _other_timm,
    ONNX: _onnx_file,
    BUILT_IN: _built_in,
}


def choose_file(label: str, key: str, types: tuple[str, ...]) -> str | None:
    """A path on this machine; an upload is stored, and its path is returned."""
    path = st.text_input(
        f"{label}: path on this machine",
        key=f"{key}_path",
        placeholder=f"/models/file.{types[0]}",
        persist_state="session",
    )
    st.file_uploader(
        "or upload a file",
        type=list(types),
        key=f"{key}_upload",
        on_change=_store_upload,
        args=(key,),
    )
    return (path or "").strip() or None


def _store_upload(key: str) -> None:
    """Callback: stores an upload and puts its path into the widget of the path."""
    uploaded = st.session_state.get(f"{key}_upload")
    if uploaded is not None:
        with guard_callback():
            stored = store_upload(uploaded.name, uploaded.getbuffer())
            st.session_state[f"{key}_path"] = str(stored)


def choose_weights(form: Form, kind: str, model_id: str, onnx_path: str | None) -> None:
    """Stores the weights; the content of a weights file is shown below its path."""
    form.fields["weights"] = {"kind": WeightsKind.PRETRAINED}
    if kind == ONNX:
        form.store("weights", lambda: _weights_from_file(onnx_path, None))
        return
    if kind == BUILT_IN and not is_prefilled("weights"):
        return
    chosen = st.segmented_control(
        FIELDS["weights"].label,
        list(WEIGHTS),
        default="Pretrained",
        required=True,
        key="weights",
        bind="query-params",
        persist_state="session",
    )
    weights = WEIGHTS.get(str(chosen), WeightsKind.PRETRAINED)
    if weights == WeightsKind.RANDOM:
        st.caption("Random weights measure speed only: accuracy is not evaluated.")
        seed = WEIGHTS_SEED.from_widget(WEIGHTS_SEED.draw(st))
        form.fields["weights"] = {"kind": weights, "seed": seed}
        return
    path = (
        choose_file("Weights", "weights_file", WEIGHTS_TYPES)
        if weights == WeightsKind.FILE
        else None
    )
    if weights == WeightsKind.FILE or is_prefilled("weights"):
        key = WEIGHTS_KEY.from_widget(WEIGHTS_KEY.draw(st, placeholder="trained weights"))
        form.fields["weights"] = {"kind": weights, "key": key}
    if weights == WeightsKind.FILE:
        form.store("weights", lambda: _weights_from_file(path, key))
        if path:
            show_identified_weights(path, key, model_id)


def _weights_from_file(path: str | None, key: str | None) -> dict[str, Any]:
    if not path:
        raise InvalidRequest("Give a weights file: a path on this machine, or an upload.")
    return {"kind": WeightsKind.FILE, "path": path, "key": key}


def show_identified_weights(path: str, key: str | None, model_id: str) -> None:
    """Whether a file holds weights of the selected model, by its tensors; its classes and sets."""
    identified = queries.identify_weights_file(path, key, model_id)
    if identified is None:
        return
    if identified.error is not None:
        st.error(message(identified.error))
    elif identified.model_id is None:
        st.warning(message(f"The tensors match neither {model_id} nor a model of the catalog."))
    elif identified.model_id != model_id:
        st.warning(message(f"The file holds weights of {identified.model_id}, not of {model_id}."))
        if identified.model_id in catalog():
            st.button(
                f"Select {escape_markdown(identified.model_id)}",
                key="choose_held",
                on_click=choose_catalog_model,
                args=(identified.model_id,),
            )
    else:
        st.caption(message(f"The file holds weights of {model_id}."))
    for remark in identified.remarks:
        st.caption(message(remark))


def choose_catalog_model(model_id: str) -> None:
    """Callback: selects a model of the catalog."""
    st.session_state.update({"from": CATALOG, "catalog_model": model_id})


def tasks_control(can_evaluate: bool) -> Control:
    """Control of the tasks; its key depends on whether Evaluate is possible."""
    return Pills("tasks", "tasks" if can_evaluate else "tasks_without_accuracy")


def dataset_control(kind: str) -> Control:
    """Control of the evaluation dataset."""
    return Select("dataset", f"dataset_for_{kind}")


def choose_tasks(form: Form, can_evaluate: bool) -> None:
    """Stores the tasks; Evaluate is preselected only where it is possible."""
    control = tasks_control(can_evaluate)
    default = [task for task in DEFAULT_TASKS if can_evaluate or task != Task.EVALUATE]
    form.fields["tasks"] = tuple(control.draw(st, default=control.to_widget(default)))


def choose_dataset(form: Form, kind: str) -> str | None:
    """Stores a registered dataset; the demo dataset only for the demo and for ONNX files."""
    registered = [
        row.name
        for row in queries.datasets()
        if row.num_classes and row.name not in BUILTIN_DATASETS
    ]
    options = [*registered, NO_DATASET]
    if kind in (BUILT_IN, ONNX):
        options = ["demo", *options] if kind == BUILT_IN else [*registered, "demo", NO_DATASET]
    control = dataset_control(kind)
    chosen = st.selectbox(
        options=options + [name for name in control.choices() if name not in options],
        **control.settings(),
    )
    if not registered and kind != BUILT_IN:
        st.page_link(
            "app_pages/datasets.py",
            label="Add a dataset to measure accuracy",
            icon=":material/photo_library:",
        )
    form.fields["dataset"] = None if chosen == NO_DATASET else str(chosen)
    return form.fields["dataset"]
