"""Controls: how a field of a request is drawn, what it shows for a value, and what it gives back.

Labels, helps, bounds and choices are those of the table of fields. Every widget keeps its value
while it is not drawn: on another page, behind another choice, after an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import streamlit as st
from pydantic import ValidationError

from engine.common.untrusted import MAX_INTEGER
from engine.errors import InvalidRequest
from engine.runs.fields import FIELDS, Field, parse_layer_indices
from engine.runs.request import RunRequest

PREFILLED_FIELDS = "carried_fields"
"""Names of the fields that a filled-in request holds: shown where they usually are not."""


@dataclass(frozen=True, slots=True)
class Control:
    """A field and the key of its widget. `to_widget` and `from_widget` undo each other.

    `from_widget` raises InvalidRequest for what cannot be the field's value.
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
        """What every widget is given."""
        field = self.field
        usual = {"key": self.key, "help": field.help or None, "persist_state": "session"}
        return {"label": field.title, **usual, **options}

    def choices(self) -> list[Any]:
        """The field's choices, and what the widget holds or held beside them."""
        if self.field.choices and self.field.closed:
            return list(self.field.choices)
        more = st.session_state.setdefault(f"{self.key}_more", [])
        held = st.session_state.get(self.key)
        known = [*self.field.choices, *more]
        more += [one for one in (held if isinstance(held, list) else [held]) if one not in known]
        found = [*self.field.choices, *(one for one in more if one is not None)]
        numbers = all(isinstance(one, int) for one in found)
        return sorted(found) if numbers else found


class Pills(Control):
    """Several of some choices."""

    def to_widget(self, value: Any) -> Any:
        return [_plain(one) for one in value]

    def from_widget(self, held: Any) -> Any:
        return tuple(held)

    def draw(self, place: Any, **options: Any) -> Any:
        usual = {"selection_mode": "multi", "default": self.to_widget(self.field.default)}
        return place.pills(
            options=self.choices(), wrap=True, **self.settings(**{**usual, **options})
        )


class Segments(Control):
    """One of a few choices, side by side."""

    def to_widget(self, value: Any) -> Any:
        return _plain(value)

    def draw(self, place: Any, **options: Any) -> Any:
        usual = {"default": _plain(self.field.default), "required": True, "wrap": True}
        return place.segmented_control(
            options=self.choices(), **self.settings(**{**usual, **options})
        )


class Select(Control):
    """One of some choices; with `index` None, which is none of them, the field is left out."""

    def to_widget(self, value: Any) -> Any:
        return None if value is None else _plain(value)

    def draw(self, place: Any, **options: Any) -> Any:
        found = self.choices()
        usual = {"index": found.index(_plain(self.field.default))} if "index" not in options else {}
        return place.selectbox(options=found, **self.settings(**usual, **options))


class Switch(Control):
    """On or off."""

    def draw(self, place: Any, **options: Any) -> Any:
        return place.toggle(value=self.field.default, **self.settings(**options))


class Number(Control):
    """A number; empty is none."""

    def to_widget(self, value: Any) -> Any:
        return float(value) if value is not None and self._real else value

    def from_widget(self, held: Any) -> Any:
        return self.field.default if held is None else held

    def draw(self, place: Any, **options: Any) -> Any:
        kind, field = float if self._real else int, self.field
        least, most = field.minimum or 0, field.maximum or MAX_INTEGER
        held = st.session_state.get(self.key)
        value = options.pop("value", field.default)
        return place.number_input(
            min_value=kind(least if held is None else min(held, least)),
            max_value=kind(most),
            value=None if value is None else kind(value),
            **({"format": "%g"} if self._real else {}),
            **self.settings(**options),
        )

    @property
    def _real(self) -> bool:
        return any(isinstance(v, float) for v in (self.field.minimum, self.field.default))


class Text(Control):
    """A text; empty is none."""

    def to_widget(self, value: Any) -> Any:
        return value or ""

    def from_widget(self, held: Any) -> Any:
        return (held or "").strip() or None

    def draw(self, place: Any, **options: Any) -> Any:
        return place.text_input(**self.settings(**options))


class LayerIndices(Text):
    """Numbers of layers, as text."""

    def to_widget(self, value: Any) -> Any:
        return ", ".join(map(str, value))

    def from_widget(self, held: Any) -> Any:
        return parse_layer_indices(self.field.label, held or "")


def _plain(value: Any) -> Any:
    return value if isinstance(value, int) else str(value)


CONTROLS: dict[str, Control] = {
    name: kind(name, name)
    for kind, names in {
        Pills: ("precisions", "batches", "threads", "instances"),
        Segments: ("scenario",),
        Select: ("calibration_mode", "target", "provider", "format", "via"),
        Switch: ("softmax", "again"),
        Number: (
            *("limit", "calibration_images", "calibration_percentile", "max_drop", "rate_per_s"),
            *("limit_ms", "arrivals_seed", "background"),
        ),
        Text: ("output",),
        LayerIndices: ("keep_in_float",),
    }.items()
    for name in names
}
"""Of the fields that are one widget whatever the model is; the others are in `run_choices`,
`run_options` and `preparation`."""


def is_prefilled(name: str) -> bool:
    """Whether the request that filled the form asks for something here that is not the default."""
    return name in st.session_state.get(PREFILLED_FIELDS, ())


class Form:
    """The fields taken from the widgets so far, and what is wrong with them.

    A wrong value never stops the drawing of what comes after it.
    """

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.problems: list[str] = []

    def take(self, name: str, place: Any = st, **options: Any) -> Any:
        """Draws the control of a field and takes its value; what the widget holds."""
        control = CONTROLS[name]
        held = control.draw(place, **options)
        self.note(name, lambda: control.from_widget(held))
        return held

    def note(self, name: str, read: Callable[[], Any]) -> None:
        """Takes the value that `read` gives; an InvalidRequest is kept for the end."""
        with self.collecting():
            self.fields[name] = read()

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keeps an InvalidRequest for the end."""
        try:
            yield
        except InvalidRequest as error:
            self.problems.append(str(error))

    def request(self) -> RunRequest:
        """All of it as a request. Raises InvalidRequest with all that is missing or wrong."""
        if self.problems:
            raise InvalidRequest(" ".join(self.problems))
        try:
            return RunRequest.model_validate(self.fields)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise InvalidRequest(f"This request does not hold together: {wrong}.") from error
