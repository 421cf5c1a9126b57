"""Decodes untrusted image files: known formats only, limited in pixels, truncated files refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from engine.errors import ImageRejected

DECODER = 2
"""Version of the decoder; part of the cache key of preprocessed images."""
MAX_PIXELS = 80_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
# Modes of Pillow for which the file does not define the value of white.
UNKNOWN_WHITE_MODES = {
    "I": "32-bit integers",
    "F": "floating-point numbers",
}
SAVE_AS = "save it as an 8-bit or 16-bit image"


def open_image(source: Path | bytes | BinaryIO, name: str | None = None) -> Image.Image:
    """Decodes an image file to RGB as torchvision's ImageFolder does.

    That is `convert("RGB")` of the first frame: EXIF orientation is not applied, ICC profiles are
    ignored. 16-bit grayscale images, which ImageFolder turns white, keep their upper 8 bits, as
    16-bit color images do in Pillow and all 16-bit images do in OpenCV. The size is read from the
    header before any pixel is decoded. A stream must be seekable; `name` identifies the image in
    messages (default: the path). Raises ImageRejected for files that are empty, unreadable, of
    unknown format, over MAX_PIXELS, truncated, or whose white level is undefined.
    """
    label = name or (source.name if isinstance(source, Path) else "The image")
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), label)
    if not isinstance(source, Path):
        return _decode(source, label)
    try:
        with source.open("rb") as stream:
            return _decode(stream, label)
    except OSError as error:
        raise ImageRejected(f"{label} cannot be read: {error.strerror or error}.") from error


def _decode(stream: BinaryIO, label: str) -> Image.Image:
    try:
        with Image.open(stream, formats=FORMATS) as image:
            _check_size(image, label)
            return to_rgb(image, label)
    except ImageRejected:
        raise
    except Image.DecompressionBombError as error:
        raise ImageRejected(
            f"{label} is too large: at most {MAX_PIXELS:,} pixels are accepted."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageRejected(f"{label} {_what_is_wrong(stream)}.") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise ImageRejected(f"{label} is damaged or truncated: {_reason(error)}.") from error


def to_rgb(image: Image.Image, label: str = "The image") -> Image.Image:
    """Converts any mode of Pillow to 8-bit RGB; ImageRejected if the white level is undefined."""
    # Pillow scales PGM files of more than 8 bits to integers up to 65,535.
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM"):
        return _upper_bits(image)
    if image.mode in UNKNOWN_WHITE_MODES:
        raise ImageRejected(
            f"{label} contains {UNKNOWN_WHITE_MODES[image.mode]}, and the file does not define "
            f"which value is white; {SAVE_AS}."
        )
    return image.convert("RGB")


def _upper_bits(image: Image.Image) -> Image.Image:
    tags = getattr(image, "tag_v2", {})
    bits = int(tags.get(BITS_PER_SAMPLE, (16,))[0])
    levels = np.asarray(image) >> (bits - 8)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        levels = 255 - levels
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")


def _what_is_wrong(stream: BinaryIO) -> str:
    stream.seek(0)
    head = stream.read(4)
    if not head:
        return "is empty (0 bytes)"
    if head in TIFF_HEADS:
        return (
            f"is a TIFF that cannot be decoded: it is damaged, or its samples are not integers of "
            f"at most 16 bits; {SAVE_AS}"
        )
    return f"is not an image of a supported format ({', '.join(FORMATS)})"


def _check_size(image: Image.Image, label: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageRejected(
            f"{label} is too large: it has {image.width} x {image.height} pixels; at most "
            f"{MAX_PIXELS:,} are accepted."
        )


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
