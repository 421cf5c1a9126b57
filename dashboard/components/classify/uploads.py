"""Files from the browser: bounded, named safely, stored under their digest."""

from __future__ import annotations

import hashlib
import re
import tempfile
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
    """A file that was not taken: its name and one sentence why."""

    name: str
    reason: str


def require_image(name: str, data: bytes) -> None:
    """Raises ImageRejected for a file that must not be decoded: too large, or of a foreign kind."""
    if len(data) > MAX_IMAGE_BYTES:
        raise ImageRejected(
            f"{name} has {len(data) / 1e6:.1f} MB; at most {MAX_IMAGE_BYTES / 1e6:.0f} MB a file "
            f"are accepted here."
        )
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        raise ImageRejected(
            f"{name} is a HEIC or AVIF image, which cannot be decoded here; save it as JPEG or "
            f"PNG and drop it again."
        )


def split_by_count(names: list[str]) -> tuple[list[int], list[Rejected]]:
    """Positions of the files that are taken, and those over the limit of MAX_IMAGES."""
    reason = (
        f"only the first {MAX_IMAGES} images are classified at once; drop the others again later."
    )
    rejected = [Rejected(name, reason) for name in names[MAX_IMAGES:]]
    return list(range(min(len(names), MAX_IMAGES))), rejected


def safe_name(name: str) -> str:
    """A file name without folders, spaces or anything a shell or a page could misread."""
    plain = _UNSAFE.sub("_", name.replace("\\", "/").rsplit("/", 1)[-1]).lstrip("._")
    stem, dot, suffix = plain.rpartition(".")
    return f"{stem[:80]}.{suffix[:12]}" if dot and stem else (plain[:80] or "upload")


def store_upload(name: str, data: bytes | memoryview) -> Path:
    """Keeps a model file as `<home>/uploads/<sha256>/<safe name>`, whole or not at all."""
    if Path(name).suffix.lower().lstrip(".") not in MODEL_TYPES:
        raise InvalidRequest(
            f"{name} is not a file of weights or an ONNX model ({', '.join(MODEL_TYPES)})."
        )
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
