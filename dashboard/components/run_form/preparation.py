"""How images are prepared: as published, as the vendor does, or by settings of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from dashboard.components.run_form.controls import Form
from engine.preprocess import PreprocessSpec
from engine.preprocess.protocols import VENDOR, Protocol
from engine.runs.fields import (
    FIELDS,
    PREPROCESS_FIELDS,
    format_number,
    format_scale,
    parse_channel_values,
    parse_number,
)

AS_EXPORTED = "as exported"
EXPORT, EVALUATION = "preprocess", "evaluation_preprocess"
_KEYS = {EXPORT: ("protocol", "pre"), EVALUATION: ("evaluation_protocol", "evaluation_pre")}
_USUAL = {EXPORT: str(Protocol.PUBLISHED), EVALUATION: AS_EXPORTED}


def draw_protocol(form: Form, name: str, published: PreprocessSpec, place: Any = st) -> None:
    """Draws the choice of a protocol, and its settings where it is custom."""
    field, (key, _), usual = FIELDS[name], _KEYS[name], _USUAL[name]
    chosen = place.segmented_control(
        field.label,
        [usual, str(Protocol.VENDOR), str(Protocol.CUSTOM)],
        default=usual,
        required=True,
        key=key,
        bind="query-params" if name == EXPORT else None,
        persist_state="session",
        help=field.help,
    )
    if chosen == Protocol.VENDOR:
        form.fields[name] = VENDOR.to_dict()
    elif chosen == Protocol.CUSTOM:
        draw_preprocess_settings(form, name, published)


def draw_preprocess_settings(form: Form, name: str, published: PreprocessSpec) -> None:
    """Draws every setting; an empty one is left as `published`, which it shows."""
    usual, prefix = published.to_dict(), _KEYS[name][1]
    given: dict[str, Any] = {}
    columns = st.columns(2)
    for place, full in enumerate(PREPROCESS_FIELDS):
        setting, field = full.removeprefix("preprocess."), FIELDS[full]
        settings: dict[str, Any] = {
            "key": f"{prefix}_{setting}",
            "placeholder": _shown(setting, usual[setting]),
            "help": field.help,
            "persist_state": "session",
        }
        column = columns[place % 2]
        if field.choices:
            held = column.selectbox(field.title, field.choices, index=None, **settings)
        elif field.maximum is not None:
            held = column.number_input(
                field.title, int(field.minimum or 0), int(field.maximum), value=None, **settings
            )
        else:
            held = column.text_input(field.title, **settings)
        if held not in (None, ""):
            with form.collecting():
                given[setting] = _read(setting, held)
    if given:
        form.fields[name] = given
    elif not form.problems:
        labels = ", ".join(FIELDS[full].label for full in PREPROCESS_FIELDS)
        form.problems.append(f"Custom preprocessing needs at least one setting: {labels}.")


def protocol_values(name: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The widgets' values for a preprocessing, by their keys."""
    key, prefix = _KEYS[name]
    protocol = Protocol.VENDOR if given == VENDOR.to_dict() else Protocol.CUSTOM
    values: dict[str, Any] = {key: _USUAL[name] if given is None else str(protocol)}
    for full in PREPROCESS_FIELDS:
        setting, field = full.removeprefix("preprocess."), FIELDS[full]
        is_text = not field.choices and field.maximum is None
        values[f"{prefix}_{setting}"] = "" if is_text else None
        if given and setting in given:
            values[f"{prefix}_{setting}"] = _held(setting, given[setting])
    return values


def _held(setting: str, value: Any) -> Any:
    if setting == "resize":
        return value or 0
    if setting in _TEXTS:
        return _shown(setting, value)
    return value


def _shown(setting: str, value: Any) -> str:
    if setting in ("mean", "std"):
        return " ".join(map(format_number, value))
    return format_scale(value) if setting == "scale" else str(value or 0)


def _read(setting: str, held: Any) -> Any:
    if setting == "resize":
        return held or None
    read = _TEXTS.get(setting)
    return held if read is None else read(FIELDS[f"preprocess.{setting}"].label, held)


_TEXTS: dict[str, Callable[[str, str], Any]] = {
    "mean": parse_channel_values,
    "std": parse_channel_values,
    "scale": parse_number,
}
