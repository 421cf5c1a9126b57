"""The choices of a new run: model, weights, tasks, dataset."""

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
    """(where from, model id, path of the ONNX file if it is one)."""
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
    """The id, if it names a model. Raises InvalidRequest."""
    if model_id.endswith("/"):
        raise InvalidRequest("Say which model: a name, or a file.")
    return model_id


def _from_catalog() -> tuple[str, str | None]:
    models = catalog()
    chosen = st.selectbox(
        "Which of the 25",
        list(models),
        format_func=_catalog_label,
        key="catalog_model",
        persist_state="session",
        label_visibility="collapsed",
        help="Type to search. Grouped by source.",
    )
    return str(chosen), None


def _catalog_label(model_id: str) -> str:
    model = catalog()[model_id]
    source = SOURCE_LABELS[model.source]
    return f"{source} · {model.name} · published top-1 {model.published_top1:.2f} %"


def _other_timm() -> tuple[str, str | None]:
    name = st.text_input(
        "Name of a timm model",
        key="timm_name",
        persist_state="session",
        placeholder="ese_vovnet19b_dw",
        help="As timm knows it, without a tag; whether it exists is found when it is exported.",
    )
    return f"timm/{(name or '').strip().removeprefix('timm/')}", None


def _onnx_file() -> tuple[str, str | None]:
    path = choose_file("ONNX file", "onnx", ("onnx",))
    stem = Path(path).stem[:100] if path else ""
    name = st.text_input(
        "Name of the model",
        key="onnx_name",
        placeholder=stem or "as the file",
        persist_state="session",
    )
    return f"onnx/{(name or '').strip() or stem}", path


def _built_in() -> tuple[str, str | None]:
    st.caption("A small SE network trained on drawn images of 16 classes; comes with the code.")
    return DEMO.model_id, None


_MODEL_CHOICES: dict[str, Callable[[], tuple[str, str | None]]] = {
    CATALOG: _from_catalog,
    OTHER_TIMM: _other_timm,
    ONNX: _onnx_file,
    BUILT_IN: _built_in,
}


def choose_file(label: str, key: str, types: tuple[str, ...]) -> str | None:
    """A path on this machine, or an upload, which is stored and becomes the path."""
    path = st.text_input(
        f"{label}: path on this machine",
        key=f"{key}_path",
        placeholder=f"/models/file.{types[0]}",
        persist_state="session",
    )
    st.file_uploader(
        "or upload it",
        type=list(types),
        key=f"{key}_upload",
        on_change=_take_upload,
        args=(key,),
    )
    return (path or "").strip() or None


def _take_upload(key: str) -> None:
    """Callback: stores an upload and puts its place into the widget of the path."""
    uploaded = st.session_state.get(f"{key}_upload")
    if uploaded is not None:
        with guard_callback():
            stored = store_upload(uploaded.name, uploaded.getbuffer())
            st.session_state[f"{key}_path"] = str(stored)


def choose_weights(form: Form, kind: str, model_id: str, onnx_path: str | None) -> None:
    """Takes the weights; what a file says of itself is shown below it."""
    form.fields["weights"] = {"kind": WeightsKind.PRETRAINED}
    if kind == ONNX:
        form.note("weights", lambda: _of_file(onnx_path, None))
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
        st.caption("Random weights measure speed; accuracy is not evaluated with them.")
        seed = WEIGHTS_SEED.from_widget(WEIGHTS_SEED.draw(st))
        form.fields["weights"] = {"kind": weights, "seed": seed}
        return
    path = (
        choose_file("Weights", "weights_file", WEIGHTS_TYPES)
        if weights == WeightsKind.FILE
        else None
    )
    if weights == WeightsKind.FILE or is_prefilled("weights"):
        key = WEIGHTS_KEY.from_widget(WEIGHTS_KEY.draw(st, placeholder="the weights themselves"))
        form.fields["weights"] = {"kind": weights, "key": key}
    if weights == WeightsKind.FILE:
        form.note("weights", lambda: _of_file(path, key))
        if path:
            show_identified_weights(path, key, model_id)


def _of_file(path: str | None, key: str | None) -> dict[str, Any]:
    if not path:
        raise InvalidRequest("Give the file of the weights: a path on this machine, or an upload.")
    return {"kind": WeightsKind.FILE, "path": path, "key": key}


def show_identified_weights(path: str, key: str | None, model_id: str) -> None:
    """What the tensors of a file say: whether it is the chosen network, its classes, its sets."""
    found = queries.identified(path, key, model_id)
    if found is None:
        return
    if found.error is not None:
        st.error(message(found.error))
    elif found.model_id is None:
        st.warning(message(f"Its tensors fit neither {model_id} nor a network of the catalog."))
    elif found.model_id != model_id:
        st.warning(message(f"It holds the weights of {found.model_id}, not of {model_id}."))
        if found.model_id in catalog():
            st.button(
                f"Choose {escape_markdown(found.model_id)}",
                key="choose_held",
                on_click=choose_catalog_model,
                args=(found.model_id,),
            )
    else:
        st.caption(message(f"It holds the weights of {model_id}."))
    for remark in found.remarks:
        st.caption(message(remark))


def choose_catalog_model(model_id: str) -> None:
    """Puts a row of the catalog into the widgets, before they are drawn again."""
    st.session_state.update({"from": CATALOG, "catalog_model": model_id})


def tasks_control(can_evaluate: bool) -> Control:
    """Of the tasks; Evaluate is proposed only where a dataset is at hand."""
    return Pills("tasks", "tasks" if can_evaluate else "tasks_without_accuracy")


def dataset_control(kind: str) -> Control:
    """Of the evaluation dataset."""
    return Select("dataset", f"dataset_for_{kind}")


def choose_tasks(form: Form, can_evaluate: bool) -> None:
    """Takes what to do."""
    control = tasks_control(can_evaluate)
    usual = [task for task in DEFAULT_TASKS if can_evaluate or task != Task.EVALUATE]
    form.fields["tasks"] = tuple(control.draw(st, default=control.to_widget(usual)))


def choose_dataset(form: Form, kind: str) -> str | None:
    """Takes a registered dataset; synthetic ones only for models that know their classes."""
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
        options=options + [one for one in control.choices() if one not in options],
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
