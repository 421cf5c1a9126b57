"""Resize, crop and normalize.

`pillow` is bit for bit torchvision's Resize, CenterCrop, ToTensor and Normalize on a PIL image.
`opencv` is PaddleClas' path: cv2.resize without antialias, both sides `round(side * percent)` with
`percent = resize / short side`, and a crop that starts at `(side - crop) // 2`. The two differ in
pixels and in accuracy, so neither replaces the other. Both get the pixels that Pillow decoded;
PaddleClas' own decoder also applies the EXIF orientation, this one does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from engine.errors import ImageRejected
from engine.preprocess.decode import MAX_PIXELS, to_rgb
from engine.preprocess.spec import Color, Interpolation, PreprocessSpec, ResizeMode, Resizer


def preprocess(image: Image.Image, spec: PreprocessSpec) -> np.ndarray:
    """The model input for one image: float32 (3, crop, crop)."""
    return normalize(crop_pixels(image, spec), spec)


def crop_pixels(image: Image.Image, spec: PreprocessSpec) -> np.ndarray:
    """The model input before normalization: uint8 (crop, crop, 3), RGB.

    Raises ImageRejected if an extreme aspect ratio would resize the image beyond MAX_PIXELS.
    """
    rgb = image if image.mode == "RGB" else to_rgb(image)
    size = _resized_size(rgb.width, rgb.height, spec)
    if size[0] * size[1] > MAX_PIXELS:
        raise ImageRejected(
            f"An image of {rgb.width} x {rgb.height} pixels is too elongated: after resizing it "
            f"would have {size[0]} x {size[1]}; at most {MAX_PIXELS:,} pixels are accepted."
        )
    resized = _RESIZERS[spec.resizer](rgb, size, spec.interpolation)
    return _center_crop(resized, spec.crop, _CROP_STARTS[spec.resizer])


def normalize(pixels: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """uint8 (..., H, W, 3) RGB -> float32 (..., 3, H, W), C-contiguous, in the model's color order.

    Each channel has 256 possible values, so they are computed once and looked up.
    """
    if pixels.dtype != np.uint8 or pixels.ndim < 3 or pixels.shape[-1] != 3:
        raise TypeError(f"normalize takes uint8 (..., H, W, 3), not {pixels.dtype} {pixels.shape}")
    *lead, height, width, _ = pixels.shape
    out = np.empty((*lead, 3, height, width), np.float32)
    levels = _levels(spec)
    for channel, source in enumerate(_CHANNELS[spec.color]):
        out[..., channel, :, :] = levels[channel][pixels[..., source]]
    return out


def normalize_planar(pixels: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """uint8 (n, 3, H, W) RGB, C-contiguous -> the same values as `normalize`, but much faster."""
    import cv2

    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
        raise TypeError(f"normalize_planar takes uint8 (n, 3, H, W), not {pixels.shape}")
    out = np.empty(pixels.shape, np.float32)
    levels = _levels(spec)
    for image, normalized in zip(pixels, out, strict=True):
        for channel, source in enumerate(_CHANNELS[spec.color]):
            cv2.LUT(image[source], levels[channel], dst=normalized[channel])
    return out


@lru_cache(maxsize=64)
def _levels(spec: PreprocessSpec) -> np.ndarray:
    """float32 (3, 256): the normalized value of each pixel level, in torch's order of operations.

    ToTensor divides by 255 where other tools multiply by 1 / 255, which is not the same float.
    """
    mean, std = (np.asarray(values, np.float32)[:, None] for values in (spec.mean, spec.std))
    return (np.arange(256, dtype=np.float32) / np.float32(1 / spec.scale) - mean) / std


def _resized_size(width: int, height: int, spec: PreprocessSpec) -> tuple[int, int]:
    if spec.resize is None:
        return width, height
    if spec.resize_mode is ResizeMode.SQUASH:
        return spec.resize, spec.resize
    return _SHORT_SIDE_RULES[spec.resizer](width, height, spec.resize)


def _torchvision_short_side(width: int, height: int, side: int) -> tuple[int, int]:
    long_side = int(side * max(width, height) / min(width, height))
    return (side, long_side) if width <= height else (long_side, side)


def _paddleclas_short_side(width: int, height: int, side: int) -> tuple[int, int]:
    percent = side / min(width, height)
    return round(width * percent), round(height * percent)


def _resize_pillow(
    image: Image.Image, size: tuple[int, int], interpolation: Interpolation
) -> np.ndarray:
    filters = {
        Interpolation.BILINEAR: Image.Resampling.BILINEAR,
        Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    }
    return np.asarray(image.resize(size, filters[interpolation]))


def _resize_opencv(
    image: Image.Image, size: tuple[int, int], interpolation: Interpolation
) -> np.ndarray:
    import cv2

    filters = {
        Interpolation.BILINEAR: cv2.INTER_LINEAR,
        Interpolation.BICUBIC: cv2.INTER_CUBIC,
    }
    return cv2.resize(np.asarray(image), size, interpolation=filters[interpolation])


def _center_crop(pixels: np.ndarray, side: int, start: Callable[[int], int]) -> np.ndarray:
    """The centered square; an image smaller than the crop is zero-padded first."""
    height, width = pixels.shape[:2]
    missing = (max(0, side - height), max(0, side - width))
    if any(missing):
        pixels = np.pad(pixels, [(m // 2, m - m // 2) for m in missing] + [(0, 0)])
    top, left = (start(length - side) for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


_RESIZERS = {Resizer.PILLOW: _resize_pillow, Resizer.OPENCV: _resize_opencv}
_SHORT_SIDE_RULES = {
    Resizer.PILLOW: _torchvision_short_side,
    Resizer.OPENCV: _paddleclas_short_side,
}
# Start of the crop, given the surplus pixels of a side: torchvision rounds half to even.
_CROP_STARTS: dict[Resizer, Callable[[int], int]] = {
    Resizer.PILLOW: lambda surplus: round(surplus / 2),
    Resizer.OPENCV: lambda surplus: surplus // 2,
}
_CHANNELS = {Color.RGB: (0, 1, 2), Color.BGR: (2, 1, 0)}
