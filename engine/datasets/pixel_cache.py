"""Which prepared images are kept on disk, how much room they take, and which make way.

One folder for each dataset and way to prepare it; models that differ only in mean and deviation
share it. What is in a folder: see squares.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from engine.common.digests import data_digest
from engine.config import settings
from engine.datasets.squares import PixelCache
from engine.preprocess import PreprocessSpec, Resizer
from engine.preprocess.decode import DECODER

LAYOUT = 1
RESERVE_BYTES = 1_000_000_000
ABOUT = "about.json"
_LIBRARIES = {Resizer.PILLOW: ("pillow",), Resizer.OPENCV: ("pillow", "opencv-python-headless")}


def square_bytes(spec: PreprocessSpec) -> int:
    """Bytes of one prepared image."""
    return 3 * spec.crop * spec.crop


@dataclass(frozen=True, slots=True)
class Kept:
    """One cache as the listing shows it; `used_at` in seconds since 1970."""

    folder: Path
    dataset_name: str
    dataset_digest: str
    prepared: str
    images: int
    present: int
    disk_bytes: int
    used_at: float


def open_cache(
    name: str,
    digest: str,
    images: int,
    which: np.ndarray,
    spec: PreprocessSpec,
    say: Callable[[str], None],
) -> PixelCache | None:
    """The cache for a dataset of so many images, of which `which` are wanted now.

    Says how much will be kept. Caches that were not used for longest make room; None, with the
    reason said, where the limit (SENET_CACHE_GB) or the disk leaves too little.
    """
    folder = _root() / _key(digest, spec)
    size, limit = square_bytes(spec), settings().cache_gb * 1e9
    before = _present_in(folder)
    missing = len(which) - int((before[which] != 0).sum() if len(before) == images else 0)
    needed, held = missing * size, int((before != 0).sum()) * size
    if needed + held > limit:
        if limit:
            say(
                f"Prepared images are not kept: {(needed + held) / 1e9:.1f} GB would be needed and "
                f"SENET_CACHE_GB allows {limit / 1e9:g} GB."
            )
        return None
    _make_room(folder, limit - needed - held)
    free = shutil.disk_usage(_root()).free
    if needed + RESERVE_BYTES > free:
        say(
            f"Prepared images are not kept: {needed / 1e9:.1f} GB would be needed and only "
            f"{free / 1e9:.1f} GB of the disk are free (1 GB stays reserved)."
        )
        return None
    cache = PixelCache(folder, images, spec.crop)
    about = {"dataset": name, "digest": digest, "images": images, "prepared": _prepared(spec)}
    (folder / ABOUT).write_text(json.dumps({**about, "square_bytes": size}))
    say(
        f"Prepared images: {len(which) - missing:,} of {len(which):,} are kept from before"
        + (f", {needed / 1e9:.2f} GB more will be kept." if missing else "; none is decoded.")
    )
    return cache


def all_caches() -> list[Kept]:
    """Every cache, the last used first."""
    found = []
    for path in _root().glob(f"*/{ABOUT}"):
        with suppress(OSError, ValueError, KeyError):
            about = json.loads(path.read_text())
            found.append(
                Kept(
                    folder=path.parent,
                    dataset_name=about["dataset"],
                    dataset_digest=about["digest"],
                    prepared=about["prepared"],
                    images=about["images"],
                    present=int((_present_in(path.parent) != 0).sum()),
                    disk_bytes=_disk_bytes(path.parent),
                    used_at=path.stat().st_mtime,
                )
            )
    return sorted(found, key=lambda kept: -kept.used_at)


def clear(dataset: str | None = None) -> int:
    """Removes the caches of a dataset, or all; returns the bytes freed. Those in use go on."""
    gone = [kept for kept in all_caches() if dataset in (None, kept.dataset_name)]
    for kept in gone:
        shutil.rmtree(kept.folder, ignore_errors=True)
    return sum(kept.disk_bytes for kept in gone)


def _make_room(keep: Path, room: float) -> None:
    """Removes the caches used longest ago until the others fit into `room` bytes."""
    others = [kept for kept in all_caches() if kept.folder != keep]
    used = sum(kept.disk_bytes for kept in others)
    while others and used > room:
        oldest = others.pop()
        shutil.rmtree(oldest.folder, ignore_errors=True)
        used -= oldest.disk_bytes


def _root() -> Path:
    path = settings().folder("cache") / "pixels"
    path.mkdir(exist_ok=True)
    return path


def _key(digest: str, spec: PreprocessSpec) -> str:
    libraries = {name: version(name) for name in _LIBRARIES[spec.resizer]}
    return data_digest([LAYOUT, DECODER, digest, _geometry(spec), libraries])[:32]


def _geometry(spec: PreprocessSpec) -> dict[str, object]:
    """What decides the pixels before normalization."""
    plain = spec.to_dict()
    names = ("resize", "resize_mode", "crop", "interpolation", "resizer")
    return {name: plain[name] for name in names}


def _prepared(spec: PreprocessSpec) -> str:
    return ", ".join(spec.summary().split(", ")[:2])


def _present_in(folder: Path) -> np.ndarray:
    try:
        return np.frombuffer((folder / "checks").read_bytes(), np.uint32)
    except (OSError, ValueError):
        return np.zeros(0, np.uint32)


def _disk_bytes(folder: Path) -> int:
    # The file of squares has holes where images are missing: what counts is what is on the disk.
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir() if path.is_file())
