"""The operations a build file lists between an image and the network, as a PreprocessSpec.

The vendor's Resize takes both sides, so it squashes; it smooths nothing (OpenCV's bilinear). Some
keys are the workbench's own, for what its exports need and the vendor's list cannot say:
Resize.keep_ratio, Resize.interpolation, and resizer on Resize and CenterCrop.
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
class _Ops:
    """What the operations read so far amount to."""

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
    swapped_after: bool = False

    def refuse(self, entry: Entry, text: str) -> VaccFileInvalid:
        return VaccFileInvalid(f"{self.draft.file}, line {entry.line}: {text}")

    def warn(self, entry: Entry, text: str) -> None:
        self.draft.warnings.append(f"{self.draft.file}, line {entry.line}: {text}")


def read_ops(ops: list[Entry], draft: Draft) -> PreprocessSpec:
    """The preprocessing of a list of operations; mean and std in the order the network sees.

    Raises VaccFileInvalid naming the operation, its line and what is allowed.
    """
    found = _Ops(draft)
    for entry in ops:
        _apply(found, entry)
    if not found.sides:
        raise VaccFileInvalid(f"{draft.file}: the process ops hold no Resize and no CenterCrop.")
    if not found.normalized:
        draft.warnings.append(
            f"{draft.file}: the process ops hold no Normalize; pixels go in as 0 to 255."
        )
        found.settings |= {"scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    if found.swapped_after:
        for name in ("mean", "std"):
            found.settings[name] = list(reversed(found.settings[name]))
    found.settings["crop"] = found.sides[-1]
    try:
        return require_one_scale(PreprocessSpec.from_dict(found.settings), SCALES)
    except WorkbenchError as error:
        raise VaccFileInvalid(f"{draft.file}: {error}") from error


def _apply(found: _Ops, entry: Entry) -> None:
    kind = entry.value.get("type") if isinstance(entry.value, dict) else None
    name = kind.value if kind else None
    if name == "CustomFunc":
        raise found.refuse(
            entry,
            "CustomFunc names Python code, which is never executed here; write the same as Resize, "
            "CenterCrop, CvtColor and Normalize.",
        )
    if not isinstance(name, str) or name not in _READERS:
        given = kind.plain() if isinstance(kind, Entry) else entry.plain()
        raise found.refuse(entry, f"operation {quoted(given, 40)}; allowed: {', '.join(_READERS)}.")
    keys = {key: value for key, value in entry.value.items() if key != "type"}
    known, read = _READERS[name]
    for key in sorted(set(keys) - set(known)):
        found.warn(keys[key], f"{name}.{key} is not known here and has no effect.")
    read(found, entry, keys)


def _side(found: _Ops, entry: Entry, key: str, keys: dict[str, Entry]) -> int:
    if key not in keys:
        raise found.refuse(entry, f"{entry.value['type'].value} needs {key}: [side, side].")
    value = keys[key].plain()
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or any(type(side) is not int for side in sides) or sides[0] != sides[1]:
        raise found.refuse(
            keys[key], f"{key} is {shown(value, 40)}; allowed: [side, side], one square."
        )
    return int(sides[0])


def _resize(found: _Ops, entry: Entry, keys: dict[str, Entry]) -> None:
    if found.sides:
        raise found.refuse(entry, "a second Resize, or one after the crop, is not offered here.")
    side = _side(found, entry, "size", keys)
    kept = keys["keep_ratio"].value if "keep_ratio" in keys else False
    found.sides.append(side)
    found.settings |= {
        "resize": side,
        "resize_mode": ResizeMode.SHORT_SIDE if kept is True else ResizeMode.SQUASH,
        "interpolation": _own(found, keys, "interpolation", Interpolation.BILINEAR),
        "resizer": _own(found, keys, "resizer", Resizer.OPENCV),
    }


def _own(found: _Ops, keys: dict[str, Entry], key: str, usual: StrEnum) -> Any:
    if key not in keys:
        return usual
    choices = [str(one) for one in type(usual)]
    if keys[key].value not in choices:
        raise found.refuse(
            keys[key],
            f"{key} is {quoted(keys[key].plain(), 40)}; allowed: {', '.join(choices)}.",
        )
    return keys[key].value


def _crop(found: _Ops, entry: Entry, keys: dict[str, Entry]) -> None:
    found.sides.append(_side(found, entry, "crop_size", keys))
    if "resizer" in keys:
        found.settings["resizer"] = _own(found, keys, "resizer", Resizer.OPENCV)


def _normalize(found: _Ops, entry: Entry, keys: dict[str, Entry]) -> None:
    if found.normalized:
        raise found.refuse(entry, "a second Normalize is not offered here.")
    div255 = keys["div255"].value if "div255" in keys else True
    if type(div255) is not bool:
        raise found.refuse(
            keys["div255"], f"div255 is {shown(keys['div255'].plain(), 40)}; allowed: true, false."
        )
    for key in ("mean", "std"):
        if key not in keys or not _three_numbers(keys[key].plain()):
            raise found.refuse(entry, f"Normalize.{key} must be three numbers, one a channel.")
        found.settings[key] = keys[key].plain()
    found.settings["scale"] = PIXEL_SCALE if div255 else 1.0
    found.normalized = True


def _three_numbers(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    )


def _color(found: _Ops, entry: Entry, keys: dict[str, Entry]) -> None:
    code = keys["code"].value if "code" in keys else None
    if code not in _COLOR_CODES:
        raise found.refuse(
            entry, f"CvtColor.code is {quoted(code, 40)}; allowed: {', '.join(_COLOR_CODES)}."
        )
    if "color" in found.settings:
        raise found.refuse(entry, "a second CvtColor is not offered here.")
    # Images are decoded to RGB, and either code swaps red and blue.
    found.settings["color"] = Color.BGR
    found.swapped_after = found.normalized


def _nothing(found: _Ops, entry: Entry, keys: dict[str, Entry]) -> None:
    """Decoding, and the layout of the tensor: always as the workbench does them."""


Reader = Callable[[_Ops, Entry, dict[str, Entry]], None]
_READERS: dict[str, tuple[tuple[str, ...], Reader]] = {
    "DecodeImage": ((), _nothing),
    "Resize": (_RESIZE_KEYS, _resize),
    "CenterCrop": (("crop_size", "resizer"), _crop),
    "Normalize": (("mean", "std", "div255"), _normalize),
    "CvtColor": (("code",), _color),
    "ToTensor": ((), _nothing),
}
