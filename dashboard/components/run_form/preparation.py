"""Widgets of the preprocessing: published, vendor or custom settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from dashboard.components.run_form.controls import Form
from engine.preprocess import PreprocessSpec
from engine.preprocess.protocols import NORMALIZATIONS, VENDOR, Protocol
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
_DEFAULTS = {EXPORT: str(Protocol.PUBLISHED), EVALUATION: AS_EXPORTED}


def draw_protocol(form: Form, name: str, published: PreprocessSpec, place: Any = st) -> None:
    """Draws the choice of a protocol, and the settings of a custom one."""
    field, (key, _), default = FIELDS[name], _KEYS[name], _DEFAULTS[name]
    chosen = place.segmented_control(
        field.label,
        [default, str(Protocol.VENDOR), str(Protocol.CUSTOM)],
        default=default,
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
    """Draws every setting; an empty one stays as `published`, which is its placeholder."""
    defaults, prefix = published.to_dict(), _KEYS[name][1]
    changes: dict[str, Any] = {}
    key = f"{prefix}_normalization"
    st.pills(
        "Normalization",
        list(NORMALIZATIONS),
        key=key,
        on_change=_normalize,
        args=(key, prefix),
        help="Fills in pixel scale, mean and std: those of ImageNet, or for values from 0 to 1 or "
        "from -1 to 1.",
    )
    columns = st.columns(2)
    for position, full in enumerate(PREPROCESS_FIELDS):
        setting, field = full.removeprefix("preprocess."), FIELDS[full]
        settings: dict[str, Any] = {
            "key": f"{prefix}_{setting}",
            "placeholder": _to_text(setting, defaults[setting]),
            "help": field.help,
            "persist_state": "session",
        }
        column = columns[position % 2]
        if field.choices:
            held = column.selectbox(field.title, field.choices, index=None, **settings)
        elif field.maximum is not None:
            held = column.number_input(
                field.title, int(field.minimum or 0), int(field.maximum), value=None, **settings
            )
        else:
            held = column.text_input(field.title, **settings)
        if held not in (None, ""):
            with form.collect_problems():
                changes[setting] = _from_widget(setting, held)
    if changes:
        form.fields[name] = changes
    elif not form.problems:
        labels = ", ".join(FIELDS[full].label for full in PREPROCESS_FIELDS)
        form.problems.append(f"Custom preprocessing needs at least one setting: {labels}.")


def _normalize(key: str, prefix: str) -> None:
    """Callback: writes a preset of scale, mean and std into their widgets."""
    preset = NORMALIZATIONS.get(str(st.session_state.get(key)), {})
    for setting, value in preset.items():
        st.session_state[f"{prefix}_{setting}"] = _to_text(setting, value)
    st.session_state[key] = None


def protocol_values(name: str, preprocess: Mapping[str, Any] | None) -> dict[str, Any]:
    """Widget values of a preprocessing, by key."""
    key, prefix = _KEYS[name]
    protocol = Protocol.VENDOR if preprocess == VENDOR.to_dict() else Protocol.CUSTOM
    values: dict[str, Any] = {key: _DEFAULTS[name] if preprocess is None else str(protocol)}
    for full in PREPROCESS_FIELDS:
        setting, field = full.removeprefix("preprocess."), FIELDS[full]
        is_text = not field.choices and field.maximum is None
        values[f"{prefix}_{setting}"] = "" if is_text else None
        if preprocess and setting in preprocess:
            values[f"{prefix}_{setting}"] = _to_widget(setting, preprocess[setting])
    return values


def _to_widget(setting: str, value: Any) -> Any:
    if setting == "resize":
        return value or 0
    if setting in _TEXT_PARSERS:
        return _to_text(setting, value)
    return value


def _to_text(setting: str, value: Any) -> str:
    if setting in ("mean", "std"):
        return " ".join(map(format_number, value))
    return format_scale(value) if setting == "scale" else str(value or 0)


def _from_widget(setting: str, held: Any) -> Any:
    if setting == "resize":
        return held or None
    parse = _TEXT_PARSERS.get(setting)
    return held if parse is None else parse(FIELDS[f"preprocess.{setting}"].label, held)


_TEXT_PARSERS: dict[str, Callable[[str, str], Any]] = {
    "mean": parse_channel_values,
    "std": parse_channel_values,
    "scale": parse_number,
}
