"""Uploaded files: limits, safe names, storage by digest."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from engine.common.files import disk_full_as_error
from engine.config import settings
from engine.errors import ImageRejected, InvalidRequest

MAX_IMAGES = 32
MAX_IMAGE_BYTES = 10_000_000
IMAGE_TYPES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
MODEL_TYPES = ("onnx", "pth", "pt", "tar", "safetensors", "pdparams", "pdiparams", "bin")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected file: its name and the reason, one sentence."""

    name: str
    reason: str


def require_image(name: str, data: bytes) -> None:
    """Raises ImageRejected for a file that is too large or of an unsupported format."""
    if len(data) > MAX_IMAGE_BYTES:
        raise ImageRejected(
            f"{name} is too large: {len(data) / 1e6:.1f} MB, max {MAX_IMAGE_BYTES / 1e6:.0f} MB."
        )
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        raise ImageRejected(
            f"{name} is a HEIC or AVIF image, which is not supported; save it as JPEG or PNG."
        )


def split_by_count(names: list[str]) -> tuple[list[int], list[Rejected]]:
    """Positions of the accepted files, and the files beyond MAX_IMAGES."""
    reason = f"max {MAX_IMAGES} images are classified at once; upload these images separately."
    rejected = [Rejected(name, reason) for name in names[MAX_IMAGES:]]
    return list(range(min(len(names), MAX_IMAGES))), rejected


def safe_name(name: str) -> str:
    """A file name without folders, with ASCII letters, digits, `.`, `_` and `-` only."""
    plain = _UNSAFE.sub("_", name.replace("\\", "/").rsplit("/", 1)[-1]).lstrip("._")
    stem, dot, suffix = plain.rpartition(".")
    return f"{stem[:80]}.{suffix[:12]}" if dot and stem else (plain[:80] or "upload")


def store_upload(
    name: str,
    data: bytes | memoryview,
    types: Collection[str] = MODEL_TYPES,
    what: str = "a weights file or an ONNX model",
) -> Path:
    """Stores a file atomically as `<home>/uploads/<sha256>/<safe name>`.

    Raises InvalidRequest for an empty file or another suffix than those of `types`.
    """
    if Path(name).suffix.lower().lstrip(".") not in types:
        raise InvalidRequest(f"{name} is not {what} ({', '.join(types)}).")
    if not len(data):
        raise InvalidRequest(f"{name} is empty (0 bytes).")
    folder = settings().folder("uploads") / hashlib.sha256(data).hexdigest()
    target = folder / safe_name(name)
    if target.is_file():
        return target
    with disk_full_as_error(settings().home):
        folder.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as part:
            temporary = Path(part.name)
            try:
                part.write(data)
                part.close()
                temporary.chmod(0o644)
                temporary.rename(target)
            finally:
                temporary.unlink(missing_ok=True)
    return target
