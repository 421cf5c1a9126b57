"""Preprocessing: from an image file to the model input (decode, resize, crop, color, normalize).

Many modules only need the settings (`spec`), so the functions that need NumPy and Pillow are
imported on first access.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.preprocess.pixel_scale import require_one_scale
from engine.preprocess.spec import Color, Interpolation, PreprocessSpec, ResizeMode, Resizer

if TYPE_CHECKING:
    from engine.preprocess.decode import FORMATS, MAX_PIXELS, open_image
    from engine.preprocess.pixels import crop_pixels, normalize, normalize_planar, preprocess
else:
    _LAZY_NAMES = {
        "decode": ("FORMATS", "MAX_PIXELS", "open_image"),
        "pixels": ("crop_pixels", "normalize", "normalize_planar", "preprocess"),
    }

    def __getattr__(name: str) -> Any:
        for module, names in _LAZY_NAMES.items():
            if name in names:
                return getattr(import_module(f"{__name__}.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Color",
    "Interpolation",
    "PreprocessSpec",
    "ResizeMode",
    "Resizer",
    "crop_pixels",
    "normalize",
    "normalize_planar",
    "open_image",
    "preprocess",
    "require_one_scale",
]
