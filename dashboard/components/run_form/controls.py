"""Controls: the widget of a field, and the conversion of its value.

Labels, helps, bounds and choices come from the table of fields. A widget keeps its value while it
is not drawn: on another page, behind another choice, after an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import streamlit as st
from pydantic import ValidationError

from dashboard.components.run_form.to_fix import mark_if_to_fix
from engine.common.untrusted import MAX_INTEGER
from engine.errors import InvalidRequest
from engine.runs.fields import FIELDS, Field, parse_layer_indices
from engine.runs.request import RunRequest

PREFILLED_FIELDS = "carried_fields"
"""Names of the fields of a prefilled request that are not the default: always drawn."""


@dataclass(frozen=True, slots=True)
class Control:
    """A field and the key of its widget. `to_widget` and `from_widget` are inverses.

    `from_widget` raises InvalidRequest for an invalid value.
    """

    name: str
    key: str

    @property
    def field(self) -> Field:
        return FIELDS[self.name]

    def to_widget(self, value: Any) -> Any:
        return value

    def from_widget(self, held: Any) -> Any:
        return held

    def draw(self, place: Any, **options: Any) -> Any:
        raise NotImplementedError

    def settings(self, **options: Any) -> dict[str, Any]:
        """Arguments of the widget."""
        field = self.field
        defaults = {"key": self.key, "help": field.help or None, "persist_state": "session"}
        return {"label": field.title, **defaults, **options}

    def choices(self) -> list[Any]:
        """The choices of the field, and all values the widget has held that are not among them."""
        if self.field.choices and self.field.closed:
            return list(map(_to_plain, self.field.choices))
        custom = st.session_state.setdefault(f"{self.key}_more", [])
        value = st.session_state.get(self.key)
        listed = [*map(_to_plain, self.field.choices), *custom]
        custom += [v for v in (value if isinstance(value, list) else [value]) if v not in listed]
        choices = [*map(_to_plain, self.field.choices), *(v for v in custom if v is not None)]
        are_numbers = all(isinstance(choice, int) for choice in choices)
        return sorted(choices) if are_numbers else choices


class Pills(Control):
    """Selection of several choices."""

    def to_widget(self, value: Any) -> Any:
        return [_to_plain(item) for item in value]

    def from_widget(self, held: Any) -> Any:
        return tuple(held)

    def draw(self, place: Any, **options: Any) -> Any:
        defaults = {"selection_mode": "multi", "default": self.to_widget(self.field.default)}
        return place.pills(
            options=self.choices(), wrap=True, **self.settings(**{**defaults, **options})
        )


class Segments(Control):
    """Selection of one of a few choices, side by side."""

    def to_widget(self, value: Any) -> Any:
        return _to_plain(value)

    def draw(self, place: Any, **options: Any) -> Any:
        defaults = {"default": _to_plain(self.field.default), "required": True, "wrap": True}
        return place.segmented_control(
            options=self.choices(), **self.settings(**{**defaults, **options})
        )


class Select(Control):
    """Selection of one choice in a list; `index` None selects none and leaves the field out."""

    def to_widget(self, value: Any) -> Any:
        return None if value is None else _to_plain(value)

    def draw(self, place: Any, **options: Any) -> Any:
        choices = self.choices()
        if "index" not in options:
            options["index"] = choices.index(_to_plain(self.field.default))
        return place.selectbox(options=choices, **self.settings(**options))


class Switch(Control):
    """On or off."""

    def draw(self, place: Any, **options: Any) -> Any:
        return place.toggle(value=self.field.default, **self.settings(**options))


class Number(Control):
    """A number; an empty widget is the default."""

    def to_widget(self, value: Any) -> Any:
        return float(value) if value is not None and self._is_float else value

    def from_widget(self, held: Any) -> Any:
        return self.field.default if held is None else held

    def draw(self, place: Any, **options: Any) -> Any:
        kind, field = float if self._is_float else int, self.field
        minimum, maximum = field.minimum or 0, field.maximum or MAX_INTEGER
        held = st.session_state.get(self.key)
        value = options.pop("value", field.default)
        return place.number_input(
            min_value=kind(minimum if held is None else min(held, minimum)),
            max_value=kind(maximum),
            value=None if value is None else kind(value),
            **({"format": "%g"} if self._is_float else {}),
            **self.settings(**options),
        )

    @property
    def _is_float(self) -> bool:
        return any(isinstance(v, float) for v in (self.field.minimum, self.field.default))


class Text(Control):
    """A text; an empty widget is None."""

    def to_widget(self, value: Any) -> Any:
        return value or ""

    def from_widget(self, held: Any) -> Any:
        return (held or "").strip() or None

    def draw(self, place: Any, **options: Any) -> Any:
        return place.text_input(**self.settings(**options))


class LongText(Text):
    """A text of several lines; an empty widget is None."""

    def draw(self, place: Any, **options: Any) -> Any:
        return place.text_area(height=90, **self.settings(**options))


class Tags(Pills):
    """Words of the user's own; those of earlier runs are offered."""

    def draw(self, place: Any, **options: Any) -> Any:
        held = st.session_state.get(self.key) or []
        offered = list(dict.fromkeys([*options.pop("offered", ()), *held]))
        return place.multiselect(
            options=offered, accept_new_options=True, **self.settings(**options)
        )

    def from_widget(self, held: Any) -> Any:
        words = (str(word).strip() for word in held)
        return tuple(dict.fromkeys(word for word in words if word))


class Hosts(Tags):
    """Hosts that are known; those of an earlier run stay, though they are forgotten by now."""

    def draw(self, place: Any, **options: Any) -> Any:
        held = st.session_state.get(self.key) or []
        offered = list(dict.fromkeys([*options.pop("offered", ()), *held]))
        return place.multiselect(options=offered, **self.settings(**options))


class LayerIndices(Text):
    """Indices of layers, as text."""

    def to_widget(self, value: Any) -> Any:
        return ", ".join(map(str, value))

    def from_widget(self, held: Any) -> Any:
        return parse_layer_indices(self.field.label, held or "")


def _to_plain(value: Any) -> Any:
    """An enum member as its text."""
    return value if isinstance(value, int) else str(value)


CONTROLS: dict[str, Control] = {
    name: kind(name, name)
    for kind, names in {
        Pills: ("precisions", "runtimes", "batches", "threads", "instances"),
        Segments: ("scenario",),
        Select: ("calibration_mode", "bias_correction", "target", "provider", "format", "via"),
        Switch: ("softmax", "again", "compare_fp32"),
        Number: (
            *("limit", "calibration_images", "calibration_percentile", "max_drop", "rate_per_s"),
            *("limit_ms", "arrivals_seed", "background"),
        ),
        Text: ("output", "name"),
        LongText: ("notes",),
        Tags: ("tags",),
        Hosts: ("hosts",),
        LayerIndices: ("keep_in_float",),
    }.items()
    for name in names
}
"""Controls of the fields with the same widget for every model; the others are in `choices`,
`options` and `preparation`."""


def is_prefilled(name: str) -> bool:
    """Whether the prefilled request sets this field to a value other than the default."""
    return name in st.session_state.get(PREFILLED_FIELDS, ())


class Form:
    """The field values of the widgets drawn so far, and the problems with them.

    An invalid value does not stop the drawing of the widgets after it.
    """

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.problems: list[str] = []

    def draw(self, name: str, place: Any = st, **options: Any) -> Any:
        """Draws the control of a field and stores its value; returns the value of the widget."""
        control = CONTROLS[name]
        held = control.draw(place, **options)
        self.store(name, lambda: control.from_widget(held), place)
        return held

    def store(self, name: str, read: Callable[[], Any], place: Any = st) -> None:
        """Stores the value that `read` returns; an InvalidRequest becomes a problem.

        Below the widget, which was drawn in `place`, it is said where an earlier run failed.
        """
        mark_if_to_fix(name, place)
        with self.collect_problems():
            self.fields[name] = read()

    @contextmanager
    def collect_problems(self) -> Iterator[None]:
        """Turns an InvalidRequest into a problem of the form."""
        try:
            yield
        except InvalidRequest as error:
            self.problems.append(str(error))

    def request(self) -> RunRequest:
        """The form as a request. Raises InvalidRequest with all problems."""
        if self.problems:
            raise InvalidRequest(" ".join(self.problems))
        try:
            return RunRequest.model_validate(self.fields)
        except ValidationError as error:
            details = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()
            )
            raise InvalidRequest(f"Invalid request: {details}.") from error
