"""The main choices of New run: weights, tasks, dataset."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.components.common.typed_paths import is_allowed, require_allowed
from dashboard.components.run_form.catalog_table import CATALOG_MODELS
from dashboard.components.run_form.controls import (
    Control,
    Form,
    Number,
    Pills,
    Select,
    Text,
    is_prefilled,
)
from dashboard.components.run_form.files import choose_file, mark_field
from dashboard.components.run_form.kinds import BUILT_IN, CATALOG, ONNX
from dashboard.components.run_form.models import Chosen
from dashboard.components.run_form.to_fix import mark_if_to_fix
from dashboard.formats import escape_markdown, message
from db.enums import WeightsKind
from engine.catalog.models import catalog
from engine.common.files import expand_user, is_file
from engine.datasets.available import AvailableDatasets
from engine.datasets.classes import match_outputs
from engine.datasets.imagenet import class_names
from engine.errors import InvalidRequest, LabelsMismatch
from engine.export.file_check import check_onnx_file
from engine.runs.fields import FIELDS
from engine.runs.request import BUILTIN_DATASETS, DEFAULT_TASKS, Task
from engine.weights.formats import weights_format_problem
from engine.weights.identify import Identified

WEIGHTS = {
    "Pretrained": WeightsKind.PRETRAINED,
    "From a file": WeightsKind.FILE,
    "Random": WeightsKind.RANDOM,
}
WEIGHTS_TYPES = ("pth", "pt", "tar", "bin", "safetensors", "pdparams", "pdiparams")
NO_DATASET = "none"
IMAGENET_CLASSES = len(class_names())
WEIGHTS_SEED = Number("weights.seed", "weights_seed")
WEIGHTS_KEY = Text("weights.key", "weights_key")


def choose_weights(form: Form, chosen_models: Chosen) -> Identified | None:
    """Stores the weights; the content of a weights file is shown below its path, and returned."""
    model_id = chosen_models.first
    form.fields["weights"] = {"kind": WeightsKind.PRETRAINED}
    if chosen_models.kind == ONNX:
        if chosen_models.ids:
            form.store("weights", lambda: _weights_from_file(chosen_models.paths[model_id], None))
            for name, file in chosen_models.paths.items():
                show_onnx_file(name, file)
        return None
    if chosen_models.kind == BUILT_IN and not is_prefilled("weights"):
        return None
    chosen = st.segmented_control(
        FIELDS["weights"].label,
        list(WEIGHTS),
        default="Pretrained",
        required=True,
        key="weights",
        bind="query-params",
        persist_state="session",
    )
    mark_if_to_fix("weights")
    weights = WEIGHTS.get(str(chosen), WeightsKind.PRETRAINED)
    if weights == WeightsKind.RANDOM:
        st.caption("Random weights measure speed only: accuracy is not evaluated.")
        seed = WEIGHTS_SEED.from_widget(WEIGHTS_SEED.draw(st))
        form.fields["weights"] = {"kind": weights, "seed": seed}
        return None
    path = (
        choose_file("Weights", "weights_file", WEIGHTS_TYPES)
        if weights == WeightsKind.FILE
        else None
    )
    if weights == WeightsKind.FILE or is_prefilled("weights"):
        key = WEIGHTS_KEY.from_widget(WEIGHTS_KEY.draw(st, placeholder="trained weights"))
        form.fields["weights"] = {"kind": weights, "key": key}
    if weights == WeightsKind.FILE:
        with form.collect_problems():
            form.fields["weights"] = _weights_from_file(path, key)
        if path and chosen_models.is_one and is_allowed(path):
            return show_weights_file(path, key, model_id)
    return None


def show_onnx_file(model_id: str, path: str) -> None:
    """What an ONNX file declares, or why it cannot be imported, as soon as its path is entered."""
    if not is_allowed(path):
        return
    found = check_onnx_file(
        expand_user(path), st.session_state.get("runtimes") or FIELDS["runtimes"].default
    )
    if found.problem is not None:
        mark_field(found.problem)
    if found.facts is not None:
        st.caption(message(f"{model_id}: {found.facts.sentence()}"))
        if (
            found.facts.classes == IMAGENET_CLASSES + 1
            and st.session_state.get("background") is None
        ):
            st.button(
                "Output 0 is a background class",
                key=f"background_of_{model_id}",
                on_click=_set_background,
                help="A network of 1,001 outputs usually has one more class, background, first.",
            )


def _set_background() -> None:
    """Callback: declares output 0 as the background class."""
    st.session_state["background"] = 0


def _weights_from_file(path: str | None, key: str | None) -> dict[str, Any]:
    if not path:
        raise InvalidRequest("Give a weights file: a path on this machine, or an upload.")
    return {"kind": WeightsKind.FILE, "path": require_allowed(path), "key": key}


def show_weights_file(path: str, key: str | None, model_id: str) -> Identified | None:
    """Why a file holds no weights at all, else what is identified in it, which is returned."""
    file = expand_user(path)
    problem = weights_format_problem(file) if is_file(file) else None
    if problem is not None:
        mark_field(problem)
        return None
    identified = queries.identify_weights_file(path, key, model_id)
    if identified is not None:
        show_identified_weights(identified, model_id)
    return identified


def show_identified_weights(identified: Identified, model_id: str) -> None:
    """Whether a file holds weights of the selected model, by its tensors; its classes and sets."""
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
        classes = f", with {identified.classes:,} classes" if identified.classes else ""
        st.caption(message(f"The file holds weights of {model_id}{classes}."))
    for remark in identified.remarks:
        st.caption(message(remark))


def choose_catalog_model(model_id: str) -> None:
    """Callback: selects a model of the catalog."""
    st.session_state.update({"from": CATALOG, CATALOG_MODELS: [model_id]})


def check_classes(form: Form, identified: Identified | None, model_id: str) -> None:
    """Adds a problem where the classes of a weights file are not those of the dataset."""
    name, known = form.fields.get("dataset"), model_id in catalog()
    if identified is None or identified.model_id != model_id:
        return
    outputs = identified.classes or (IMAGENET_CLASSES if known else None)
    classes = queries.available_datasets().classes_of(name)
    if classes is None or outputs is None or Task.EVALUATE not in form.fields["tasks"]:
        return
    try:
        match_outputs(model_id, outputs, None, str(name), classes)
    except LabelsMismatch as error:
        form.problems.append(str(error))


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


def note_preparation(name: Any, known: AvailableDatasets, place: Any = st) -> None:
    """Below the choice of a dataset: that the run waits for it, while it is being prepared.

    Labels of choices stay as they are: a widget keeps its value by them.
    """
    if name in known.preparing:
        place.caption(f"{escape_markdown(str(name))} is being prepared: the run waits for it.")


def choose_dataset(form: Form, kind: str) -> str | None:
    """Stores a dataset with labels, also one in preparation.

    The demo dataset is offered only for the demo and for ONNX files.
    """
    known = queries.available_datasets()
    registered = [name for name in known.labeled() if name not in BUILTIN_DATASETS]
    options = [*registered, NO_DATASET]
    if kind in (BUILT_IN, ONNX):
        options = ["demo", *options] if kind == BUILT_IN else [*registered, "demo", NO_DATASET]
    control = dataset_control(kind)
    chosen = st.selectbox(
        options=options + [name for name in control.choices() if name not in options],
        **control.settings(),
    )
    form.store("dataset", lambda: None if chosen == NO_DATASET else str(chosen))
    note_preparation(chosen, known)
    if not registered and kind != BUILT_IN:
        st.page_link(
            "app_pages/datasets.py",
            label="Add a dataset to measure accuracy",
            icon=":material/photo_library:",
        )
    found: str | None = form.fields["dataset"]
    return found
