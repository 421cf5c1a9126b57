"""Preprocessing as data: stored with every measurement, compared by digest, checked when read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from engine.common.digests import data_digest
from engine.errors import InvalidRequest

MAX_SIDE = 4096
PIXEL_SCALE = 1 / 255
_TINY = 2.0**-126  # the least normal number of float32
_HUGE = 1 / _TINY


class ResizeMode(StrEnum):
    """`short_side` keeps the aspect ratio, `squash` does not."""

    SHORT_SIDE = "short_side"
    SQUASH = "squash"


class Interpolation(StrEnum):
    """How a resized pixel is made from its neighbors."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class Resizer(StrEnum):
    """`pillow` smooths while it shrinks (antialias), `opencv` does not: never interchangeable."""

    PILLOW = "pillow"
    OPENCV = "opencv"


class Color(StrEnum):
    """The channel order the network was trained with."""

    RGB = "rgb"
    BGR = "bgr"


@dataclass(frozen=True, slots=True)
class PreprocessSpec:
    """Everything that lies between an image and a network's input.

    `resize` is the short side (or both sides, squashed) in pixels, None for no resize; `crop` is
    the side of the centered square the network is fed, zero-padded where the image is smaller.
    A pixel becomes (pixel * scale - mean) / std; mean and std are in the order of `color`.
    Text and lists are taken for enums and tuples. Raises InvalidRequest naming the wrong field.
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
        """Plain JSON types only; `from_dict` gives an equal spec back."""
        plain = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        return {key: str(v) if isinstance(v, StrEnum) else v for key, v in plain.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> PreprocessSpec:
        """Read a spec; a key left out takes its default.

        Raises InvalidRequest naming an unknown key or a wrong value.
        """
        known = [field.name for field in fields(cls)]
        for key in plain:
            if key not in known:
                raise InvalidRequest(
                    f"Preprocessing has no setting {key!r}; it has {', '.join(known)}."
                )
        return cls(**plain)

    def changed(self, given: Mapping[str, Any] | None) -> PreprocessSpec:
        """This spec with some settings replaced. Raises as `from_dict`.

        Another crop alone keeps its share of what is resized, as image sizes do in papers.
        """
        changed = self.from_dict({**self.to_dict(), **(given or {})})
        if self.resize and changed.resize and "resize" not in (given or {}):
            resize = round(self.resize * changed.crop / self.crop)
            return replace(changed, resize=resize)
        return changed

    @classmethod
    def says_all(cls, plain: Mapping[str, Any]) -> bool:
        """Whether every setting is given, so that none is left to what `changed` starts from."""
        return all(field.name in plain for field in fields(cls))

    def digest(self) -> str:
        """SHA-256 of the spec's canonical JSON, in hex."""
        return data_digest(self.to_dict())

    def summary(self) -> str:
        """One line for people: what is done, in order."""
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
            f"Preprocessing {name} is {value!r}; it must be a whole number from 1 to {MAX_SIDE}."
        )
    return value


def _read_optional_side(name: str, value: object) -> int | None:
    return None if value is None else _read_side(name, value)


def _read_number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -_HUGE < value < _HUGE:
        raise InvalidRequest(f"Preprocessing {name} holds {value!r}; it must be a finite number.")
    return float(value)


def _read_positive(name: str, value: Any) -> float:
    number = _read_number(name, value)
    if number <= _TINY:
        raise InvalidRequest(f"Preprocessing {name} holds {value!r}; it must be above zero.")
    return number


def _three_of(
    read: Callable[[str, Any], float],
) -> Callable[[str, Any], tuple[float, ...]]:
    def read_three(name: str, value: object) -> tuple[float, ...]:
        if not isinstance(value, list | tuple) or len(value) != 3:
            raise InvalidRequest(
                f"Preprocessing {name} is {value!r}; it must be three numbers, one a channel."
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
