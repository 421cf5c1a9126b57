"""The models of New run: rows of the catalog, timm names, ONNX files, the built-in demo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from pydantic import ValidationError

from dashboard.components.common.typed_paths import require_allowed
from dashboard.components.run_form.catalog_table import CATALOG_MODELS, choose_from_catalog
from dashboard.components.run_form.files import MORE_FILES, choose_files, mark_field
from dashboard.components.run_form.kinds import BUILT_IN, CATALOG, ONNX, OTHER_TIMM
from db.enums import WeightsKind
from engine.catalog.models import catalog
from engine.catalog.timm_names import timm_name_problem, timm_names
from engine.errors import InvalidRequest
from engine.runs.request import DEMO, OtherModel, RunRequest
from engine.specs import WeightsSpec

TIMM_NAMES, ONNX_NAME, CARRIED, KEPT = "timm_names", "onnx_name", "carried_models", "kept_models"
DEFAULT_MODELS = [next(iter(catalog()))]


@dataclass(frozen=True, slots=True)
class Chosen:
    """`kind` is where the models come from, `ids` are the models, `paths` the ONNX files by id.

    `first` is empty where nothing is chosen yet.
    """

    kind: str
    ids: tuple[str, ...]
    paths: dict[str, str]

    @property
    def first(self) -> str:
        """The id of the first model."""
        return self.ids[0] if self.ids else ""

    @property
    def is_one(self) -> bool:
        """Whether it is one model, or none yet."""
        return len(self.ids) < 2


def choose_models() -> Chosen:
    """Draws the choice of models."""
    kind = st.segmented_control(
        "Models",
        [CATALOG, OTHER_TIMM, ONNX, BUILT_IN],
        default=CATALOG,
        required=True,
        key="from",
        bind="query-params",
        wrap=True,
        persist_state="session",
    )
    kind = str(kind) if kind in _CHOICES else CATALOG
    ids, paths = _CHOICES[kind]()
    return Chosen(kind, tuple(dict.fromkeys(ids)), paths)


def require_models(chosen: Chosen) -> str:
    """The id of the first model. Raises InvalidRequest where there is none."""
    if chosen.ids:
        return chosen.first
    kept = _kept_models()
    if not kept:
        raise InvalidRequest(_MISSING.get(chosen.kind, "Select a model."))
    return kept[0].model_id


def first_weights(chosen: Chosen, weights: dict[str, Any]) -> dict[str, Any]:
    """The weights of the first model: those of the form, or its own where it was set aside."""
    kept = _kept_models()
    return weights if chosen.ids or not kept else kept[0].weights.model_dump(mode="json")


def other_models(chosen: Chosen, weights: dict[str, Any]) -> tuple[OtherModel, ...]:
    """The further models, with the weights of the first one or their own file.

    Raises InvalidRequest where one weights file is given for several models.
    """
    several = len(chosen.ids) > 1
    if several and chosen.kind != ONNX and weights.get("kind") == WeightsKind.FILE:
        raise InvalidRequest(
            "A weights file belongs to one model: select one model, or other weights."
        )
    kept = _kept_models()
    return (*_own_models(chosen, weights), *(kept if chosen.ids else kept[1:]))


def _own_models(chosen: Chosen, weights: dict[str, Any]) -> list[OtherModel]:
    if chosen.kind != ONNX:
        spec = WeightsSpec.model_validate(weights) if len(chosen.ids) > 1 else WeightsSpec()
        return [OtherModel(model_id=name, weights=spec) for name in chosen.ids[1:]]
    return [_file_model(name, require_allowed(chosen.paths[name])) for name in chosen.ids[1:]]


def _file_model(model_id: str, path: str) -> OtherModel:
    return OtherModel(model_id=model_id, weights=WeightsSpec(kind=WeightsKind.FILE, path=path))


def _from_catalog() -> tuple[list[str], dict[str, str]]:
    return choose_from_catalog(DEFAULT_MODELS), {}


def _other_timm() -> tuple[list[str], dict[str, str]]:
    held = st.session_state.get(TIMM_NAMES) or []
    known = list(timm_names())
    names = st.multiselect(
        "timm model names",
        known + [name for name in held if name not in known],
        key=TIMM_NAMES,
        persist_state="session",
        accept_new_options=True,
        select_all=False,  # Enter would choose every name that matches
        placeholder="e.g. seresnet50: type to complete",
        help="Names of timm models, such as seresnet50. A tag selects other weights than the "
        "default ones, such as seresnet50.a1_in1k.",
    )
    plain = [name.strip().removeprefix("timm/") for name in names if name.strip()]
    for problem in filter(None, map(timm_name_problem, plain)):
        mark_field(problem)
    return [f"timm/{name}" for name in plain], {}


def _onnx_files() -> tuple[list[str], dict[str, str]]:
    paths = choose_files("ONNX file", "onnx", ("onnx",))
    stem = Path(paths[0]).stem[:100] if paths else ""
    name = st.text_input(
        "Model name" if len(paths) < 2 else "Name of the first model",
        key=ONNX_NAME,
        placeholder=stem or "name of the file",
        persist_state="session",
    )
    names = [(name or "").strip() or stem, *(Path(path).stem[:100] for path in paths[1:])]
    by_id: dict[str, str] = {}
    for file_name, path in zip(names, paths, strict=False):
        by_id[_unused(f"onnx/{file_name}", by_id)] = path
    return list(by_id), by_id


def _unused(model_id: str, taken: Iterable[str]) -> str:
    """The id, with a number where another file has the same name."""
    number, free = 2, model_id
    while free in taken:
        number, free = number + 1, f"{model_id}-{number}"
    return free


def _built_in() -> tuple[list[str], dict[str, str]]:
    st.caption("A small SE network, trained on synthetic images of 16 classes. Included.")
    return [DEMO.model_id], {}


_CHOICES: dict[str, Callable[[], tuple[list[str], dict[str, str]]]] = {
    CATALOG: _from_catalog,
    OTHER_TIMM: _other_timm,
    ONNX: _onnx_files,
    BUILT_IN: _built_in,
}
_MISSING = {
    CATALOG: "Select a model: check rows of the table.",
    OTHER_TIMM: "Select a model: enter its timm name.",
    ONNX: "Select a model: give a weights file: a path on this machine, or an upload.",
}


def draw_kept_models() -> None:
    """The further models of the run that the choice above does not show; each can go."""
    carried = st.session_state.get(CARRIED) or []
    if carried:
        labels = [_label(model) for model in carried]
        st.multiselect("Further models of this run", labels, key=KEPT, persist_state="session")


def _kept_models() -> list[OtherModel]:
    kept = st.session_state.get(KEPT) or []
    carried = st.session_state.get(CARRIED) or []
    models = [OtherModel.model_validate(model) for model in carried if _label(model) in kept]
    for model in models:
        if model.weights.path is not None:
            require_allowed(model.weights.path)
    return models


def offer_another_source(chosen: Chosen, weights: dict[str, Any]) -> None:
    """A button that keeps the chosen models in the run and frees the choice for others."""
    if not chosen.ids:
        return
    try:
        first = OtherModel(model_id=chosen.first, weights=WeightsSpec.model_validate(weights))
        own = [first, *_own_models(chosen, weights)]
    except (InvalidRequest, ValidationError):  # said at the field
        return
    st.button(
        "Add models of another source",
        key="another_source",
        icon=":material/add:",
        on_click=_set_aside,
        args=([model.model_dump(mode="json") for model in own],),
        help="Keeps the models above, with their weights, in this run. Then select others: "
        "from the catalog, by timm name, or as ONNX files.",
    )


def _set_aside(models: list[dict[str, Any]]) -> None:
    """Callback: the models become further models of the run; the choice above is empty again."""
    state = st.session_state
    carried = state.get(CARRIED) or []
    added = [model for model in models if model not in carried]
    state[CARRIED] = [*carried, *added]
    kept = [*(state.get(KEPT) or []), *map(_label, models)]
    state[KEPT] = list(dict.fromkeys(kept))
    state.update({CATALOG_MODELS: [], TIMM_NAMES: [], "onnx_path": "", MORE_FILES: "",
                  ONNX_NAME: ""})  # fmt: skip
    if state.get("from") == BUILT_IN:
        state["from"] = CATALOG


def _label(model: dict[str, Any]) -> str:
    weights = model.get("weights") or {}
    return f"{model['model_id']} · {weights.get('path') or weights.get('kind')}"


def model_values(request: RunRequest) -> tuple[str, dict[str, Any]]:
    """The kind of models, and the widget values of the models of a request."""
    kind = _kind_of(request.model_id)
    shown, carried = [request.model_id], list[dict[str, Any]]()
    for model in request.other_models:
        fits = kind != BUILT_IN and _kind_of(model.model_id) == kind and not carried
        if kind == ONNX:
            path = model.weights.path
            fits = (
                fits and path is not None and _is_plain(model, path) and model.model_id not in shown
            )
        else:
            fits = fits and model.weights == request.weights
        if fits:
            shown.append(model.model_id)
        else:
            carried.append(model.model_dump(mode="json"))
    own = request.other_models[: len(shown) - 1]
    values: dict[str, Any] = {CARRIED: carried, KEPT: [_label(model) for model in carried]}
    return kind, {**values, **_widget_values(kind, request, own, shown)}


def _is_plain(model: OtherModel, path: str) -> bool:
    """Whether an ONNX file has the name that the form gives it."""
    return model == _file_model(f"onnx/{Path(path).stem[:100]}", path)


def _widget_values(
    kind: str, request: RunRequest, others: Sequence[OtherModel], shown: list[str]
) -> dict[str, Any]:
    if kind == CATALOG:
        return {CATALOG_MODELS: shown}
    if kind == OTHER_TIMM:
        return {TIMM_NAMES: [name.removeprefix("timm/") for name in shown]}
    if kind == ONNX:
        more = "\n".join(str(model.weights.path) for model in others)
        name = request.model_id.partition("/")[2]
        return {"onnx_path": request.weights.path or "", MORE_FILES: more, ONNX_NAME: name}
    return {}


def _kind_of(model_id: str) -> str:
    source = model_id.partition("/")[0]
    if source in ("onnx", "demo"):
        return ONNX if source == "onnx" else BUILT_IN
    return CATALOG if model_id in catalog() else OTHER_TIMM
