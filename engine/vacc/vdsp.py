"""vdsp parameter files, in their three generations, as one PreprocessSpec.

1. A flat object of numbers (2023, "sdk1.0"). 2. `vdsp_op_type` with a `config` list of properties,
means and deviations as bit patterns of half floats. 3. `OpType` with `OpConfig` (today). The
hardware squashes to the resize sides and crops the center; the network sees the channels in the
order after the color code, and mean and std belong to that order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.common.untrusted import read_json
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

MAX_BYTES = 1_000_000
OPS = (
    "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR",
    "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR",
)
OLD_OP = "RGB_RESIZE_CVTCOLOR_CROP_NORMALIZATION_TENSORIZATION_U8"
OLDEST_OP = 300
RESIZERS = {"BILINEAR_CV": Resizer.OPENCV, "BILINEAR_PILLOW": Resizer.PILLOW}
# The input is RGB; either code swaps red and blue.
COLORS = {"NO_CHANGE": Color.RGB, "RGB2BGR": Color.BGR, "BGR2RGB": Color.BGR}
FORMATS = {"RGB_PLANAR": "RGB_PLANAR"}
_OLDEST_WORDS: dict[str, dict[Any, str]] = {
    "iimage_format": {5000: "RGB_PLANAR"},
    "resize_type": {1: "BILINEAR_CV"},
    "color_cvt_code": {2: "NO_CHANGE"},
    "norma_type": {3: "MINUSMEAN_DIVSTD", 4: "DIV255_MINUSMEAN_DIVSTD"},
}
SCALES = Wording("NormaType MINUSMEAN_DIVSTD", "NormaType DIV255_MINUSMEAN_DIVSTD")
_ZEROS, _ONES = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Params:
    """A file of any generation in the words of the third; None is what it does not say."""

    file: str
    image_format: str
    resize_type: str
    color_code: str
    norm_type: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    resize: tuple[int, int] | None
    output: tuple[int, int] | None
    crop_at: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Vdsp:
    """The preprocessing a file describes, its generation, and what was filled in."""

    spec: PreprocessSpec
    generation: int
    remarks: tuple[str, ...] = ()


def read_vdsp(path: Path, geometry: PreprocessSpec | None = None) -> Vdsp:
    """Reads a file; where it says no sizes (some leave them to a script), `geometry` gives them.

    Raises VaccFileInvalid naming the key, its value and what is allowed.
    """
    plain = read_json(path, VaccFileInvalid, MAX_BYTES)
    return vdsp_of(plain, path.name, geometry)


def vdsp_of(plain: Any, file: str, geometry: PreprocessSpec | None = None) -> Vdsp:
    """As `read_vdsp`, from the JSON document."""
    if isinstance(plain, dict):
        for generation, mark in ((3, "OpType"), (2, "config"), (1, "vdsp_op_type")):
            if mark in plain:
                return _spec_of(_GENERATIONS[generation](plain, file), generation, geometry)
    raise VaccFileInvalid(
        f"{file} holds no vdsp parameters: it has neither OpType nor vdsp_op_type."
    )


def half_from_bits(bits: int) -> float:
    """The value of an IEEE half float given as its 16 bits, e.g. 14275 -> 0.485107421875."""
    return float(np.array([bits], np.uint16).view(np.float16)[0])


def _third(plain: Mapping[str, Any], file: str) -> _Params:
    op = _one_of(file, "OpType", plain["OpType"], {op: op for op in OPS})
    config = plain.get("OpConfig")
    if not isinstance(config, dict):
        raise VaccFileInvalid(f"{file} has no OpConfig block.")
    output = _pair(file, config, "OimageWidth", "OimageHeight")
    resize = _pair(file, config, "ResizeWidth", "ResizeHeight")
    crops = op == OPS[0]
    return _Params(
        file=file,
        image_format=config.get("IimageFormat", "RGB_PLANAR"),
        resize_type=_needed(file, config, "ResizeType"),
        color_code=_needed(file, config, "ColorCvtCode"),
        norm_type=_needed(file, config, "NormaType"),
        mean=_three(file, config, "Mean"),
        std=_three(file, config, "Std"),
        resize=resize if crops or resize else output,
        output=output,
        crop_at=_pair(file, config, "CropX", "CropY") if crops else None,
    )


def _second(plain: Mapping[str, Any], file: str) -> _Params:
    _one_of(file, "vdsp_op_type", plain.get("vdsp_op_type"), {OLD_OP: OLD_OP})
    listed = plain["config"]
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise VaccFileInvalid(f"{file}: config must be a list of properties.")
    values = {str(item.get("Property")): item.get("Value") for item in listed}
    code = str(_needed(file, values, "color_cvt_code")).removeprefix("COLOR_")
    return _flat({**values, "color_cvt_code": code}, file)


def _first(plain: Mapping[str, Any], file: str) -> _Params:
    _one_of(file, "vdsp_op_type", plain["vdsp_op_type"], {OLDEST_OP: OLDEST_OP})
    words = {
        key: _one_of(file, key, _needed(file, plain, key), known)
        for key, known in _OLDEST_WORDS.items()
    }
    return _flat({**plain, **words}, file)


def _flat(values: Mapping[str, Any], file: str) -> _Params:
    short, crop = (
        _size(file, key, _needed(file, values, key))
        for key in ("short_edge_threshold", "crop_size")
    )
    image = _pair(file, values, "iimage_width", "iimage_height") or (short, short)
    if image != (short, short):
        raise VaccFileInvalid(
            f"{file}: iimage_width x iimage_height is {image[0]} x {image[1]} and "
            f"short_edge_threshold {short}; allowed: all the same, one square."
        )
    return _Params(
        file=file,
        image_format=_needed(file, values, "iimage_format"),
        resize_type=_needed(file, values, "resize_type"),
        color_code=values["color_cvt_code"],
        norm_type=_needed(file, values, "norma_type"),
        mean=tuple(_half(file, values, f"mean{channel}") for channel in "rgb"),
        std=tuple(_half(file, values, f"std{channel}") for channel in "rgb"),
        resize=(short, short),
        output=(crop, crop),
        crop_at=None,
    )


_GENERATIONS: dict[int, Callable[[Mapping[str, Any], str], _Params]] = {
    1: _first,
    2: _second,
    3: _third,
}


def _spec_of(params: _Params, generation: int, geometry: PreprocessSpec | None) -> Vdsp:
    file, remarks = params.file, []
    _one_of(file, "IimageFormat", params.image_format, FORMATS)
    resize, output = params.resize, params.output
    if resize is None or output is None:
        if geometry is None:
            raise VaccFileInvalid(
                f"{file} says no sizes; add ResizeWidth, ResizeHeight, OimageWidth and "
                f"OimageHeight."
            )
        resize = resize or (geometry.resize or geometry.crop,) * 2
        output = output or (geometry.crop,) * 2
        remarks.append(
            f"{file} says no sizes: those of the build are taken, resize {resize[0]}, "
            f"crop {output[0]}."
        )
    if resize[0] != resize[1] or output[0] != output[1]:
        raise VaccFileInvalid(
            f"{file} resizes to {resize[0]} x {resize[1]} and crops {output[0]} x {output[1]}; "
            f"allowed: squares."
        )
    _require_center(params, resize[0], output[0])
    scale, mean, std = _one_of(file, "NormaType", params.norm_type, _NORMS)(params)
    try:
        spec = PreprocessSpec(
            resize=resize[0],
            resize_mode=ResizeMode.SQUASH,
            crop=output[0],
            interpolation=Interpolation.BILINEAR,
            resizer=_one_of(file, "ResizeType", params.resize_type, RESIZERS),
            scale=scale,
            mean=mean,
            std=std,
            color=_one_of(file, "ColorCvtCode", params.color_code, COLORS),
        )
        require_one_scale(spec, SCALES)
    except WorkbenchError as error:
        raise VaccFileInvalid(f"{file}: {error}") from error
    return Vdsp(spec, generation, tuple(remarks))


def _require_center(params: _Params, resize: int, crop: int) -> None:
    middle = (resize - crop) // 2
    if params.crop_at is not None and params.crop_at != (middle, middle):
        raise VaccFileInvalid(
            f"{params.file}: CropX, CropY is {params.crop_at[0]}, {params.crop_at[1]}; allowed: "
            f"{middle}, {middle}, the center of {resize} for a crop of {crop}."
        )


Norm = tuple[float, Any, Any]


def _given(params: _Params, scale: float) -> Norm:
    if params.mean is None or params.std is None:
        raise VaccFileInvalid(
            f"{params.file}: NormaType {params.norm_type} needs Mean and Std, three numbers each."
        )
    return scale, params.mean, params.std


_NORMS: dict[str, Callable[[_Params], Norm]] = {
    "DIV255_MINUSMEAN_DIVSTD": lambda params: _given(params, PIXEL_SCALE),
    "MINUSMEAN_DIVSTD": lambda params: _given(params, 1.0),
    "DIV255": lambda params: (PIXEL_SCALE, _ZEROS, _ONES),
    "EQUAL": lambda params: (1.0, _ZEROS, _ONES),
}


def _one_of(file: str, key: str, value: Any, known: Mapping[Any, Any]) -> Any:
    found = [v for k, v in known.items() if k == value and type(k) is type(value)]
    if not found:
        words = ", ".join(str(word) for word in known)
        raise VaccFileInvalid(f"{file}: {key} is {quoted(value, 60)}; allowed: {words}.")
    return found[0]


def _needed(file: str, values: Mapping[str, Any], key: str) -> Any:
    if key not in values:
        raise VaccFileInvalid(f"{file} has no {key}.")
    return values[key]


def _size(file: str, key: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 4096:
        raise VaccFileInvalid(
            f"{file}: {key} is {quoted(value, 40)}; allowed: a whole number of pixels up to 4096."
        )
    return value


def _pair(file: str, values: Mapping[str, Any], wide: str, high: str) -> tuple[int, int] | None:
    if wide not in values and high not in values:
        return None
    width, height = (_size(file, key, _needed(file, values, key)) for key in (wide, high))
    return width, height


def _three(file: str, values: Mapping[str, Any], key: str) -> tuple[float, ...] | None:
    value = values.get(key)
    if value is None:
        return None
    numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    if not numbers or len(value) != 3:
        raise VaccFileInvalid(f"{file}: {key} is {shown(value, 40)}; allowed: three numbers.")
    return tuple(float(item) for item in value)


def _half(file: str, values: Mapping[str, Any], key: str) -> float:
    bits = _needed(file, values, key)
    if type(bits) is not int or not 0 <= bits < 1 << 16:
        raise VaccFileInvalid(
            f"{file}: {key} is {quoted(bits, 40)}; allowed: the 16 bits of a half float as one "
            f"number."
        )
    return half_from_bits(bits)
