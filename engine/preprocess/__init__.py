"""From an image file to the tensor a network is fed: decode, resize, crop, colour, normalise."""

from engine.preprocess.decode import FORMATS, MAX_PIXELS, open_image
from engine.preprocess.pixel_scale import require_one_scale
from engine.preprocess.pixels import crop_pixels, normalise, normalise_planar, preprocess
from engine.preprocess.spec import Color, Interpolation, PreprocessSpec, ResizeMode, Resizer

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Color",
    "Interpolation",
    "PreprocessSpec",
    "ResizeMode",
    "Resizer",
    "crop_pixels",
    "normalise",
    "normalise_planar",
    "open_image",
    "preprocess",
    "require_one_scale",
]
