"""Preprocessing settings as data: stored with every measurement, compared by digest, validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from engine.common.digests import data_digest
from engine.errors import InvalidRequest

MAX_SIDE = 4096
PIXEL_SCALE = 1 / 255
_TINY = 2.0**-126  # the smallest normal float32
_HUGE = 1 / _TINY


class ResizeMode(StrEnum):
    """`short_side` keeps the aspect ratio, `squash` does not."""

    SHORT_SIDE = "short_side"
    SQUASH = "squash"


class Interpolation(StrEnum):
    """Interpolation filter of the resize."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class Resizer(StrEnum):
    """Resize library: `pillow` antialiases, `opencv` does not; they are not interchangeable."""

    PILLOW = "pillow"
    OPENCV = "opencv"


class Color(StrEnum):
    """The channel order the model was trained with."""

    RGB = "rgb"
    BGR = "bgr"


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
    """All steps from a decoded image to the model input.

    `resize` is the short side (or both sides, if squashed) in pixels, None for no resize; `crop`
    is the side of the centered square, zero-padded if the image is smaller.
    A pixel becomes (pixel * scale - mean) / std; mean and std are in the order of `color`.
    Strings and lists are converted to enums and tuples. Raises InvalidRequest naming the wrong
    field.
    """

    resize: int | None = 256
    resize_mode: ResizeMode = ResizeMode.SHORT_SIDE
    crop: int = 224
    interpolation: Interpolation = Interpolation.BILINEAR
    resizer: Resizer = Resizer.PILLOW
    scale: float = PIXEL_SCALE
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    color: Color = Color.RGB

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _FIELD_READERS[field.name](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; `from_dict` restores an equal spec."""
        plain = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        return {key: str(v) if isinstance(v, StrEnum) else v for key, v in plain.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> PreprocessSpec:
        """Reads a spec; a missing key takes its default.

        Raises InvalidRequest naming an unknown key or an invalid value.
        """
        names = [field.name for field in fields(cls)]
        for key in plain:
            if key not in names:
                raise InvalidRequest(
                    f"Preprocessing has no setting {key!r}; the settings are {', '.join(names)}."
                )
        return cls(**plain)

    def with_overrides(self, overrides: Mapping[str, Any] | None) -> PreprocessSpec:
        """A copy with some settings replaced. Raises as `from_dict`.

        If the crop is replaced and the resize is not, their ratio is kept, as papers do.
        """
        changed = self.from_dict({**self.to_dict(), **(overrides or {})})
        if self.resize and changed.resize and "resize" not in (overrides or {}):
            resize = round(self.resize * changed.crop / self.crop)
            return replace(changed, resize=resize)
        return changed

    @classmethod
    def is_complete(cls, plain: Mapping[str, Any]) -> bool:
        """Whether every setting is given, so that no default of the model is needed."""
        return all(field.name in plain for field in fields(cls))

    def digest(self) -> str:
        """SHA-256 of the spec's canonical JSON, in hex."""
        return data_digest(self.to_dict())

    def summary(self) -> str:
        """One readable line: the steps in order."""
        parts = [
            _RESIZE_PHRASES[self.resize_mode].format(self) if self.resize else "no resize",
            f"center crop {self.crop}",
            f"mean {' '.join(f'{value:g}' for value in self.mean)}",
            f"std {' '.join(f'{value:g}' for value in self.std)}",
        ]
        if self.scale != PIXEL_SCALE:
            parts.append(f"scale {self.scale:g}")
        if self.color is not Color.RGB:
            parts.append(f"channels {self.color.upper()}")
        return ", ".join(parts)


_RESIZE_PHRASES = {
    ResizeMode.SHORT_SIDE: "short side {0.resize} {0.interpolation} ({0.resizer})",
    ResizeMode.SQUASH: "squashed to {0.resize} x {0.resize} {0.interpolation} ({0.resizer})",
}


def _read_side(name: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= MAX_SIDE:
        raise InvalidRequest(
            f"Preprocessing {name} is {value!r}; it must be an integer from 1 to {MAX_SIDE}."
        )
    return value


def _read_optional_side(name: str, value: object) -> int | None:
    return None if value is None else _read_side(name, value)


def _read_number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -_HUGE < value < _HUGE:
        raise InvalidRequest(f"Preprocessing {name} has {value!r}; it must be a finite number.")
    return float(value)


def _read_positive(name: str, value: Any) -> float:
    number = _read_number(name, value)
    if number <= _TINY:
        raise InvalidRequest(f"Preprocessing {name} has {value!r}; it must be above zero.")
    return number


def _three_of(
    read: Callable[[str, Any], float],
) -> Callable[[str, Any], tuple[float, ...]]:
    def read_three(name: str, value: object) -> tuple[float, ...]:
        if not isinstance(value, list | tuple) or len(value) != 3:
            raise InvalidRequest(
                f"Preprocessing {name} is {value!r}; it must be three numbers, one per channel."
            )
        return tuple(read(name, item) for item in value)

    return read_three


def _choice_of(choices: type[StrEnum]) -> Callable[[str, Any], StrEnum]:
    def read_choice(name: str, value: Any) -> StrEnum:
        if value not in list(choices):
            raise InvalidRequest(
                f"Preprocessing {name} is {value!r}; it must be one of {', '.join(choices)}."
            )
        return choices(value)

    return read_choice


_FIELD_READERS: dict[str, Callable[[str, Any], object]] = {
    "resize": _read_optional_side,
    "resize_mode": _choice_of(ResizeMode),
    "crop": _read_side,
    "interpolation": _choice_of(Interpolation),
    "resizer": _choice_of(Resizer),
    "scale": _read_positive,
    "mean": _three_of(_read_number),
    "std": _three_of(_read_positive),
    "color": _choice_of(Color),
}
