"""Synthetic photographs as files, and torchvision's transform of a spec."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from torchvision import transforms

from engine.preprocess import Interpolation, PreprocessSpec, ResizeMode

TORCH_MODES = {
    Interpolation.BILINEAR: transforms.InterpolationMode.BILINEAR,
    Interpolation.BICUBIC: transforms.InterpolationMode.BICUBIC,
}


def noise(width: int, height: int, bands: int = 3) -> np.ndarray:
    """Coarse random blocks under fine noise, so that every filter tap matters."""
    rng = np.random.default_rng(width * 10_007 + height)
    coarse = rng.integers(0, 200, (height // 8 + 1, width // 8 + 1, bands))
    blocks = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    return (blocks + rng.integers(0, 56, (height, width, bands))).astype(np.uint8)


def photo(width: int, height: int) -> Image.Image:
    return Image.fromarray(noise(width, height))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def torchvision_transform(spec: PreprocessSpec) -> transforms.Compose:
    steps: list[Any] = []
    if spec.resize is not None:
        squash = spec.resize_mode is ResizeMode.SQUASH
        size = (spec.resize, spec.resize) if squash else spec.resize
        steps.append(transforms.Resize(size, TORCH_MODES[spec.interpolation]))
    steps += [
        transforms.CenterCrop(spec.crop),
        transforms.ToTensor(),
        transforms.Normalize(spec.mean, spec.std),
    ]
    return transforms.Compose(steps)


def png_of_size(width: int, height: int) -> bytes:
    """A small file whose header promises a large image."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
