"""Reads vdsp parameter files, in their three generations, into a PreprocessSpec.

1. A flat object of numbers (2023, "sdk1.0"). 2. `vdsp_op_type` with a `config` list of properties;
mean and std are bit patterns of half floats. 3. `OpType` with `OpConfig` (current). The hardware
squashes to the resize sides and crops the center. Mean and std are in the channel order after the
color conversion, which is the order of the model input.
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
# The input is RGB; both codes swap red and blue.
COLORS = {"NO_CHANGE": Color.RGB, "RGB2BGR": Color.BGR, "BGR2RGB": Color.BGR}
FORMATS = {"RGB_PLANAR": "RGB_PLANAR"}
_GENERATION_1_WORDS: dict[str, dict[Any, str]] = {
    "iimage_format": {5000: "RGB_PLANAR"},
    "resize_type": {1: "BILINEAR_CV"},
    "color_cvt_code": {2: "NO_CHANGE"},
    "norma_type": {3: "MINUSMEAN_DIVSTD", 4: "DIV255_MINUSMEAN_DIVSTD"},
}
SCALES = Wording("NormaType MINUSMEAN_DIVSTD", "NormaType DIV255_MINUSMEAN_DIVSTD")
_ZEROS, _ONES = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Params:
    """A file of any generation in the terms of the third; None: not in the file."""

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
class VdspPreprocess:
    """The preprocessing of a file, its generation, and notes on sizes taken from elsewhere."""

    spec: PreprocessSpec
    generation: int
    remarks: tuple[str, ...] = ()


def read_vdsp(path: Path, geometry: PreprocessSpec | None = None) -> VdspPreprocess:
    """Reads a file; sizes that are not in it (some files have none) are taken from `geometry`.

    Raises VaccFileInvalid with the key, its value and the allowed values.
    """
    document = read_json(path, VaccFileInvalid, MAX_BYTES)
    return parse_vdsp(document, path.name, geometry)


def parse_vdsp(document: Any, file: str, geometry: PreprocessSpec | None = None) -> VdspPreprocess:
    """As `read_vdsp`, from the JSON document; `file` is its name in messages."""
    if isinstance(document, dict):
        for generation, mark in ((3, "OpType"), (2, "config"), (1, "vdsp_op_type")):
            if mark in document:
                return _to_preprocess(
                    _GENERATIONS[generation](document, file), generation, geometry
                )
    raise VaccFileInvalid(
        f"{file} is not a file of vdsp parameters: it has neither OpType nor vdsp_op_type."
    )


def half_float_from_bits(bits: int) -> float:
    """The value of an IEEE 754 half float from its 16 bits, e.g. 14275 -> 0.485107421875."""
    return float(np.array([bits], np.uint16).view(np.float16)[0])


def _parse_generation_3(document: Mapping[str, Any], file: str) -> _Params:
    op = _choice(file, "OpType", document["OpType"], {op: op for op in OPS})
    config = document.get("OpConfig")
    if not isinstance(config, dict):
        raise VaccFileInvalid(f"{file} has no OpConfig block.")
    output = _width_and_height(file, config, "OimageWidth", "OimageHeight")
    resize = _width_and_height(file, config, "ResizeWidth", "ResizeHeight")
    crops = op == OPS[0]
    return _Params(
        file=file,
        image_format=config.get("IimageFormat", "RGB_PLANAR"),
        resize_type=_required(file, config, "ResizeType"),
        color_code=_required(file, config, "ColorCvtCode"),
        norm_type=_required(file, config, "NormaType"),
        mean=_three_numbers(file, config, "Mean"),
        std=_three_numbers(file, config, "Std"),
        resize=resize if crops or resize else output,
        output=output,
        crop_at=_width_and_height(file, config, "CropX", "CropY") if crops else None,
    )


def _parse_generation_2(document: Mapping[str, Any], file: str) -> _Params:
    _choice(file, "vdsp_op_type", document.get("vdsp_op_type"), {OLD_OP: OLD_OP})
    listed = document["config"]
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise VaccFileInvalid(f"{file}: config must be a list of properties.")
    values = {str(item.get("Property")): item.get("Value") for item in listed}
    code = str(_required(file, values, "color_cvt_code")).removeprefix("COLOR_")
    return _parse_properties({**values, "color_cvt_code": code}, file)


def _parse_generation_1(document: Mapping[str, Any], file: str) -> _Params:
    _choice(file, "vdsp_op_type", document["vdsp_op_type"], {OLDEST_OP: OLDEST_OP})
    words = {
        key: _choice(file, key, _required(file, document, key), words_of)
        for key, words_of in _GENERATION_1_WORDS.items()
    }
    return _parse_properties({**document, **words}, file)


def _parse_properties(values: Mapping[str, Any], file: str) -> _Params:
    short, crop = (
        _pixels(file, key, _required(file, values, key))
        for key in ("short_edge_threshold", "crop_size")
    )
    image = _width_and_height(file, values, "iimage_width", "iimage_height") or (short, short)
    if image != (short, short):
        raise VaccFileInvalid(
            f"{file}: iimage_width x iimage_height is {image[0]} x {image[1]} and "
            f"short_edge_threshold {short}; they must be equal, one square."
        )
    return _Params(
        file=file,
        image_format=_required(file, values, "iimage_format"),
        resize_type=_required(file, values, "resize_type"),
        color_code=values["color_cvt_code"],
        norm_type=_required(file, values, "norma_type"),
        mean=tuple(_half_float(file, values, f"mean{channel}") for channel in "rgb"),
        std=tuple(_half_float(file, values, f"std{channel}") for channel in "rgb"),
        resize=(short, short),
        output=(crop, crop),
        crop_at=None,
    )


_GENERATIONS: dict[int, Callable[[Mapping[str, Any], str], _Params]] = {
    1: _parse_generation_1,
    2: _parse_generation_2,
    3: _parse_generation_3,
}


def _to_preprocess(
    params: _Params, generation: int, geometry: PreprocessSpec | None
) -> VdspPreprocess:
    file, remarks = params.file, []
    _choice(file, "IimageFormat", params.image_format, FORMATS)
    resize, output = params.resize, params.output
    if resize is None or output is None:
        if geometry is None:
            raise VaccFileInvalid(
                f"{file} has no sizes; add ResizeWidth, ResizeHeight, OimageWidth and OimageHeight."
            )
        resize = resize or (geometry.resize or geometry.crop,) * 2
        output = output or (geometry.crop,) * 2
        remarks.append(
            f"{file} has no sizes: those of the build are used, resize {resize[0]}, "
            f"crop {output[0]}."
        )
    if resize[0] != resize[1] or output[0] != output[1]:
        raise VaccFileInvalid(
            f"{file} resizes to {resize[0]} x {resize[1]} and crops {output[0]} x {output[1]}; "
            f"both must be squares."
        )
    _require_center(params, resize[0], output[0])
    scale, mean, std = _choice(file, "NormaType", params.norm_type, _NORM_TYPES)(params)
    try:
        spec = PreprocessSpec(
            resize=resize[0],
            resize_mode=ResizeMode.SQUASH,
            crop=output[0],
            interpolation=Interpolation.BILINEAR,
            resizer=_choice(file, "ResizeType", params.resize_type, RESIZERS),
            scale=scale,
            mean=mean,
            std=std,
            color=_choice(file, "ColorCvtCode", params.color_code, COLORS),
        )
        require_one_scale(spec, SCALES)
    except WorkbenchError as error:
        raise VaccFileInvalid(f"{file}: {error}") from error
    return VdspPreprocess(spec, generation, tuple(remarks))


def _require_center(params: _Params, resize: int, crop: int) -> None:
    middle = (resize - crop) // 2
    if params.crop_at is not None and params.crop_at != (middle, middle):
        raise VaccFileInvalid(
            f"{params.file}: CropX, CropY is {params.crop_at[0]}, {params.crop_at[1]}; allowed: "
            f"{middle}, {middle}, the center of {resize} for a crop of {crop}."
        )


Norm = tuple[float, Any, Any]


def _mean_and_std(params: _Params, scale: float) -> Norm:
    if params.mean is None or params.std is None:
        raise VaccFileInvalid(
            f"{params.file}: NormaType {params.norm_type} needs Mean and Std, three numbers each."
        )
    return scale, params.mean, params.std


_NORM_TYPES: dict[str, Callable[[_Params], Norm]] = {
    "DIV255_MINUSMEAN_DIVSTD": lambda params: _mean_and_std(params, PIXEL_SCALE),
    "MINUSMEAN_DIVSTD": lambda params: _mean_and_std(params, 1.0),
    "DIV255": lambda params: (PIXEL_SCALE, _ZEROS, _ONES),
    "EQUAL": lambda params: (1.0, _ZEROS, _ONES),
}


def _choice(file: str, key: str, value: Any, choices: Mapping[Any, Any]) -> Any:
    matches = [v for k, v in choices.items() if k == value and type(k) is type(value)]
    if not matches:
        words = ", ".join(str(word) for word in choices)
        raise VaccFileInvalid(f"{file}: {key} is {quoted(value, 60)}; allowed: {words}.")
    return matches[0]


def _required(file: str, values: Mapping[str, Any], key: str) -> Any:
    if key not in values:
        raise VaccFileInvalid(f"{file} has no {key}.")
    return values[key]


def _pixels(file: str, key: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 4096:
        raise VaccFileInvalid(
            f"{file}: {key} is {quoted(value, 40)}; allowed: an integer up to 4096 (pixels)."
        )
    return value


def _width_and_height(
    file: str, values: Mapping[str, Any], wide: str, high: str
) -> tuple[int, int] | None:
    if wide not in values and high not in values:
        return None
    width, height = (_pixels(file, key, _required(file, values, key)) for key in (wide, high))
    return width, height


def _three_numbers(file: str, values: Mapping[str, Any], key: str) -> tuple[float, ...] | None:
    value = values.get(key)
    if value is None:
        return None
    numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    if not numbers or len(value) != 3:
        raise VaccFileInvalid(f"{file}: {key} is {shown(value, 40)}; allowed: three numbers.")
    return tuple(float(item) for item in value)


def _half_float(file: str, values: Mapping[str, Any], key: str) -> float:
    bits = _required(file, values, key)
    if type(bits) is not int or not 0 <= bits < 1 << 16:
        raise VaccFileInvalid(
            f"{file}: {key} is {quoted(bits, 40)}; allowed: an integer from 0 to 65535, the "
            f"bits of a half float."
        )
    return half_float_from_bits(bits)
