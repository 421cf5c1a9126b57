"""Brightness and size of the images of a dataset, taken while they are decoded for registration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.datasets.report import PixelFacts

if TYPE_CHECKING:
    from PIL.Image import Image

STRIDE = 4
"""Every fourth pixel in each direction: their mean is within a tenth of a gray level."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """One readable image: SHA-256 of its file, mean gray level (0 to 255), short side in pixels."""

    digest: str
    brightness: float
    short_side: int


def decoded_image(digest: str, image: Image) -> DecodedImage:
    """The facts of an RGB image."""
    pixels = np.asarray(image)[::STRIDE, ::STRIDE]
    return DecodedImage(digest, float(pixels.mean()), min(image.size))


def pixel_facts(images: Iterable[DecodedImage]) -> PixelFacts:
    """The facts of all images of a dataset."""
    images = list(images)
    brightness = np.array([image.brightness for image in images])
    return PixelFacts(
        images=len(images),
        brightness=round(float(brightness.mean()), 2),
        brightness_sd=round(float(brightness.std()), 2),
        short_side=float(np.median([image.short_side for image in images])),
    )
