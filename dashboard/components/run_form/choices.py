"""The choices of a new run: model, weights, precisions, tasks, dataset, options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.classify.uploads import store_upload
from dashboard.components.common.guard import guard
from dashboard.formats import escape_markdown, message
from db.enums import Precision, WeightsKind
from engine.catalog.models import SOURCE_LABELS, catalog
from engine.runs.requests import BUILTIN_CALIBRATION, BUILTIN_DATASETS, DEMO, USUAL_TASKS, Task
from engine.specs import CALIBRATION_IMAGES

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
    )
    return str(kind), *_MODEL_CHOICES.get(str(kind), _from_catalog)()


def _from_catalog() -> tuple[str, str | None]:
    models = catalog()
    chosen = st.selectbox(
        "Which of the 25",
        list(models),
        format_func=_catalog_label,
        key="catalog_model",
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
        placeholder="ese_vovnet19b_dw",
        help="As timm knows it, without a tag; whether it exists is found when it is exported.",
    )
    return f"timm/{(name or '').strip().removeprefix('timm/')}", None


def _onnx_file() -> tuple[str, str | None]:
    path = file_choice("ONNX file", "onnx", ("onnx",))
    stem = Path(path).stem[:100] if path else ""
    return f"onnx/{stem}", path


def _built_in() -> tuple[str, str | None]:
    st.caption("A small SE network trained on drawn images of 16 classes; comes with the code.")
    return DEMO.model_id, None


_MODEL_CHOICES: dict[str, Callable[[], tuple[str, str | None]]] = {
    CATALOG: _from_catalog,
    OTHER_TIMM: _other_timm,
    ONNX: _onnx_file,
    BUILT_IN: _built_in,
}


def file_choice(label: str, key: str, types: tuple[str, ...]) -> str | None:
    """A path on this machine, or an upload; the path of whichever was given."""
    path = st.text_input(
        f"{label}: path on this machine", key=f"{key}_path", placeholder=f"/models/file.{types[0]}"
    )
    uploaded = st.file_uploader("or upload it", type=list(types), key=f"{key}_upload")
    if uploaded is None:
        return (path or "").strip() or None
    known = st.session_state.setdefault("stored_uploads", {})
    if uploaded.file_id not in known:
        with guard():
            known[uploaded.file_id] = str(store_upload(uploaded.name, uploaded.getbuffer()))
    stored = known.get(uploaded.file_id)
    if stored:
        st.caption(f"Stored as {escape_markdown(stored)}")
    return stored


def choose_weights(kind: str, model_id: str, onnx_path: str | None) -> dict[str, Any]:
    """The fields of a WeightsSpec; what a file says of itself is shown below it."""
    if kind == ONNX:
        return {"kind": WeightsKind.FILE, "path": onnx_path} if onnx_path else {}
    if kind == BUILT_IN:
        return {"kind": WeightsKind.PRETRAINED}
    chosen = st.segmented_control(
        "Weights",
        list(WEIGHTS),
        default="Pretrained",
        required=True,
        key="weights",
        bind="query-params",
    )
    weights = WEIGHTS.get(str(chosen), WeightsKind.PRETRAINED)
    if weights == WeightsKind.RANDOM:
        st.caption("Random weights measure speed; accuracy is not evaluated with them.")
    if weights != WeightsKind.FILE:
        return {"kind": weights}
    path = file_choice("Weights", "weights_file", WEIGHTS_TYPES)
    named = st.text_input(
        "Set of weights (weights key)",
        key="weights_key",
        placeholder="the weights themselves",
        help="Where a file holds several, such as state_dict and state_dict_ema: which of them.",
    )
    if not path:
        return {}
    key = (named or "").strip() or None
    say_what_it_holds(path, key, model_id)
    return {"kind": weights, "path": path, "key": key}


def say_what_it_holds(path: str, key: str | None, model_id: str) -> None:
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


def choose_precisions() -> list[str]:
    """fp32, fp16, int8."""
    names = [str(precision) for precision in Precision]
    return st.pills(
        "Precisions",
        names,
        selection_mode="multi",
        default=names,
        key="precisions",
        bind="query-params",
    )


def choose_tasks(can_evaluate: bool) -> list[str]:
    """What to do; Evaluate is proposed only where a dataset is at hand."""
    names = [str(task) for task in Task]
    usual = [str(task) for task in USUAL_TASKS]
    default = [name for name in usual if can_evaluate or name != Task.EVALUATE]
    return st.pills(
        "Tasks",
        names,
        selection_mode="multi",
        default=default,
        key="tasks" if can_evaluate else "tasks_without_accuracy",
        help="A build implies the export, a measurement the build. Profile: where the time of an "
        "inference goes, operator by operator.",
    )


def choose_dataset(kind: str) -> str | None:
    """A registered dataset; the drawn ones only for models that know their classes."""
    registered = [
        row.name
        for row in queries.datasets()
        if row.num_classes and row.name not in BUILTIN_DATASETS
    ]
    options = [*registered, NO_DATASET]
    if kind in (BUILT_IN, ONNX):
        options = ["demo", *options] if kind == BUILT_IN else [*registered, "demo", NO_DATASET]
    chosen = st.selectbox("Dataset to evaluate on", options, key=f"dataset_for_{kind}")
    if not registered and kind != BUILT_IN:
        st.page_link(
            "app_pages/datasets.py",
            label="Add a dataset to measure accuracy",
            icon=":material/photo_library:",
        )
    return None if chosen == NO_DATASET else str(chosen)


def choose_calibration(kind: str) -> tuple[str | None, int]:
    """(dataset or None for the default, number of images) that int8 ranges are taken from."""
    automatic = "automatic"
    names = [row.name for row in queries.datasets() if row.name != BUILTIN_CALIBRATION]
    options = [automatic, BUILTIN_CALIBRATION, *names]
    left, right = st.columns(2)
    chosen = left.selectbox(
        "Calibrate int8 on",
        options,
        index=1 if kind == BUILT_IN else 0,
        key=f"calibrate_for_{kind}",
        help="Automatic: the evaluation set if there is one, else drawn images.",
    )
    images = right.number_input(
        "Calibration images",
        min_value=1,
        max_value=50_000,
        value=CALIBRATION_IMAGES,
        key="calibration_images",
    )
    return (None if chosen == automatic else str(chosen)), int(images or CALIBRATION_IMAGES)
