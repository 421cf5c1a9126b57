"""Parses the preprocessing operations of a build file into a PreprocessSpec.

The vendor's Resize takes both sides, so it squashes, and it does not anti-alias (OpenCV, bilinear).
Some keys are extensions of the workbench, for preprocessing that the vendor's operations cannot
express: Resize.keep_ratio, Resize.interpolation, and resizer on Resize and CenterCrop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.errors import VaccFileInvalid, WorkbenchError
from engine.preprocess import (
    Color,
    Interpolation,
    PreprocessSpec,
    ResizeMode,
    Resizer,
    require_one_scale,
)
from engine.preprocess.pixel_scale import Wording
from engine.preprocess.spec import PIXEL_SCALE
from engine.text import quoted, shown
from engine.vacc.build_keys import Draft
from engine.vacc.yaml_text import Entry

_COLOR_CODES = ("COLOR_RGB2BGR", "COLOR_BGR2RGB")
SCALES = Wording("`div255: false` in Normalize", "`div255: true` in Normalize")
_RESIZE_KEYS = ("size", "keep_ratio", "interpolation", "resizer")


@dataclass
class _OpsState:
    """The settings given by the operations read so far."""

    draft: Draft
    settings: dict[str, Any] = field(
        default_factory=lambda: {
            "resize": None,
            "resize_mode": ResizeMode.SQUASH,
            "resizer": Resizer.OPENCV,
        }
    )
    sides: list[int] = field(default_factory=list)
    normalized: bool = False
    swapped_after_normalize: bool = False

    def error(self, entry: Entry, text: str) -> VaccFileInvalid:
        return VaccFileInvalid(f"{self.draft.file}, line {entry.line}: {text}")

    def warn(self, entry: Entry, text: str) -> None:
        self.draft.warnings.append(f"{self.draft.file}, line {entry.line}: {text}")


def parse_process_ops(ops: list[Entry], draft: Draft) -> PreprocessSpec:
    """The preprocessing of a list of operations; mean and std in the channel order of the model.

    Raises VaccFileInvalid with the operation, its line and the allowed values.
    """
    state = _OpsState(draft)
    for entry in ops:
        _apply(state, entry)
    if not state.sides:
        raise VaccFileInvalid(
            f"{draft.file}: the process ops have neither Resize nor CenterCrop; add CenterCrop."
        )
    if not state.normalized:
        draft.warnings.append(
            f"{draft.file}: the process ops have no Normalize; the model gets pixels from 0 to 255."
        )
        state.settings |= {"scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    if state.swapped_after_normalize:
        for name in ("mean", "std"):
            state.settings[name] = list(reversed(state.settings[name]))
    state.settings["crop"] = state.sides[-1]
    try:
        return require_one_scale(PreprocessSpec.from_dict(state.settings), SCALES)
    except WorkbenchError as error:
        raise VaccFileInvalid(f"{draft.file}: {error}") from error


def _apply(state: _OpsState, entry: Entry) -> None:
    kind = entry.value.get("type") if isinstance(entry.value, dict) else None
    name = kind.value if kind else None
    if name == "CustomFunc":
        raise state.error(
            entry,
            "CustomFunc refers to Python code, which is never executed here; write it as Resize, "
            "CenterCrop, CvtColor and Normalize.",
        )
    if not isinstance(name, str) or name not in _OPERATIONS:
        shown_type = kind.plain() if isinstance(kind, Entry) else entry.plain()
        raise state.error(
            entry, f"operation {quoted(shown_type, 40)}; allowed: {', '.join(_OPERATIONS)}."
        )
    keys = {key: value for key, value in entry.value.items() if key != "type"}
    known_keys, apply = _OPERATIONS[name]
    for key in sorted(set(keys) - set(known_keys)):
        state.warn(keys[key], f"{name}.{key} is unknown and has no effect.")
    apply(state, entry, keys)


def _square_side(state: _OpsState, entry: Entry, key: str, keys: dict[str, Entry]) -> int:
    if key not in keys:
        raise state.error(entry, f"{entry.value['type'].value} needs {key}: [side, side].")
    value = keys[key].plain()
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or any(type(side) is not int for side in sides) or sides[0] != sides[1]:
        raise state.error(
            keys[key], f"{key} is {shown(value, 40)}; allowed: [side, side], one square."
        )
    return int(sides[0])


def _resize(state: _OpsState, entry: Entry, keys: dict[str, Entry]) -> None:
    if state.sides:
        raise state.error(entry, "a second Resize, or a Resize after the crop, is not supported.")
    side = _square_side(state, entry, "size", keys)
    keep_ratio = keys["keep_ratio"].value if "keep_ratio" in keys else False
    state.sides.append(side)
    state.settings |= {
        "resize": side,
        "resize_mode": ResizeMode.SHORT_SIDE if keep_ratio is True else ResizeMode.SQUASH,
        "interpolation": _own_key(state, keys, "interpolation", Interpolation.BILINEAR),
        "resizer": _own_key(state, keys, "resizer", Resizer.OPENCV),
    }


def _own_key(state: _OpsState, keys: dict[str, Entry], key: str, default: StrEnum) -> Any:
    if key not in keys:
        return default
    choices = [str(member) for member in type(default)]
    if keys[key].value not in choices:
        raise state.error(
            keys[key],
            f"{key} is {quoted(keys[key].plain(), 40)}; allowed: {', '.join(choices)}.",
        )
    return keys[key].value


def _crop(state: _OpsState, entry: Entry, keys: dict[str, Entry]) -> None:
    state.sides.append(_square_side(state, entry, "crop_size", keys))
    if "resizer" in keys:
        state.settings["resizer"] = _own_key(state, keys, "resizer", Resizer.OPENCV)


def _normalize(state: _OpsState, entry: Entry, keys: dict[str, Entry]) -> None:
    if state.normalized:
        raise state.error(entry, "a second Normalize is not supported.")
    div255 = keys["div255"].value if "div255" in keys else True
    if type(div255) is not bool:
        raise state.error(
            keys["div255"], f"div255 is {shown(keys['div255'].plain(), 40)}; allowed: true, false."
        )
    for key in ("mean", "std"):
        if key not in keys or not _three_numbers(keys[key].plain()):
            raise state.error(entry, f"Normalize.{key} must be three numbers, one per channel.")
        state.settings[key] = keys[key].plain()
    state.settings["scale"] = PIXEL_SCALE if div255 else 1.0
    state.normalized = True


def _three_numbers(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    )


def _color(state: _OpsState, entry: Entry, keys: dict[str, Entry]) -> None:
    code = keys["code"].value if "code" in keys else None
    if code not in _COLOR_CODES:
        raise state.error(
            entry, f"CvtColor.code is {quoted(code, 40)}; allowed: {', '.join(_COLOR_CODES)}."
        )
    if "color" in state.settings:
        raise state.error(entry, "a second CvtColor is not supported.")
    # Images are decoded to RGB, and both codes swap red and blue.
    state.settings["color"] = Color.BGR
    state.swapped_after_normalize = state.normalized


def _no_op(state: _OpsState, entry: Entry, keys: dict[str, Entry]) -> None:
    """Decoding and tensor layout: the workbench always does them in the same way."""


Operation = Callable[[_OpsState, Entry, dict[str, Entry]], None]
_OPERATIONS: dict[str, tuple[tuple[str, ...], Operation]] = {
    "DecodeImage": ((), _no_op),
    "Resize": (_RESIZE_KEYS, _resize),
    "CenterCrop": (("crop_size", "resizer"), _crop),
    "Normalize": (("mean", "std", "div255"), _normalize),
    "CvtColor": (("code",), _color),
    "ToTensor": ((), _no_op),
}
