"""Image files are hostile until decoded: bounded in pixels, of known formats, whole or refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from engine.errors import ImageRejected

MAX_PIXELS = 80_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")


def open_image(source: Path | bytes | BinaryIO, name: str | None = None) -> Image.Image:
    """Decode an image file to RGB as torchvision's ImageFolder does.

    That is `convert("RGB")` of the first frame: EXIF orientation is not applied, ICC profiles are
    ignored. The size is read from the header before any pixel is decoded. A stream must be
    seekable; `name` is what a message calls the image (a path names itself).
    Raises ImageRejected: empty, unreadable, of no known format, over MAX_PIXELS, cut short.
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
            return image.convert("RGB")
    except ImageRejected:
        raise
    except Image.DecompressionBombError as error:
        raise ImageRejected(
            f"{label} is too large: at most {MAX_PIXELS:,} pixels are accepted."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageRejected(f"{label} {_what_is_wrong(stream)}.") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise ImageRejected(f"{label} is damaged or cut short: {_reason(error)}.") from error


def _what_is_wrong(stream: BinaryIO) -> str:
    stream.seek(0)
    if not stream.read(1):
        return "is empty (0 bytes)"
    return f"is not an image of a known kind ({', '.join(FORMATS)})"


def _check_size(image: Image.Image, label: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageRejected(
            f"{label} is too large: it has {image.width} x {image.height} pixels, and at most "
            f"{MAX_PIXELS:,} are accepted."
        )


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
