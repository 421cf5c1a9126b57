"""The disk cache of preprocessed images: its keys, its size limit, and eviction.

One folder for each dataset and preprocessing geometry; models that differ only in mean and std
share it. The files of a folder are described in engine.datasets.squares.
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


def image_bytes(spec: PreprocessSpec) -> int:
    """Bytes of one cached image."""
    return 3 * spec.crop * spec.crop


@dataclass(frozen=True, slots=True)
class PixelCacheInfo:
    """One cache folder, as `dataset cache` lists it; `used_at` in seconds since 1970.

    `prepared` describes the preprocessing, `images` is the size of the dataset, `present` the
    number of cached images.
    """

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
    requested: np.ndarray,
    spec: PreprocessSpec,
    report: Callable[[str], None],
) -> PixelCache | None:
    """Opens the cache of a dataset of `images` images; `requested` are the indices needed now.

    Evicts the least recently used caches to make room. Returns None if the limit (SENET_CACHE_GB)
    or the disk is too small. `report` receives a sentence on the outcome.
    """
    folder = _root() / _key(digest, spec)
    size, limit = image_bytes(spec), settings().cache_gb * 1e9
    checks = _read_checks(folder)
    missing = len(requested) - int((checks[requested] != 0).sum() if len(checks) == images else 0)
    needed, cached = missing * size, int((checks != 0).sum()) * size
    if needed + cached > limit:
        if limit:
            report(
                f"Preprocessed images are not cached: {(needed + cached) / 1e9:.1f} GB are needed, "
                f"SENET_CACHE_GB allows {limit / 1e9:g} GB."
            )
        return None
    _make_room(folder, limit - needed - cached)
    free = shutil.disk_usage(_root()).free
    if needed + RESERVE_BYTES > free:
        report(
            f"Preprocessed images are not cached: {needed / 1e9:.1f} GB are needed, "
            f"{free / 1e9:.1f} GB of the disk are free (1 GB stays reserved)."
        )
        return None
    cache = PixelCache(folder, images, spec.crop)
    about = {"dataset": name, "digest": digest, "images": images, "prepared": _prepared(spec)}
    (folder / ABOUT).write_text(json.dumps({**about, "square_bytes": size}))
    report(
        f"Preprocessed images: {len(requested) - missing:,} of {len(requested):,} are cached"
        + (f"; {needed / 1e9:.2f} GB will be added." if missing else "; none has to be decoded.")
    )
    return cache


def list_caches() -> list[PixelCacheInfo]:
    """All caches, the most recently used first."""
    caches = []
    for path in _root().glob(f"*/{ABOUT}"):
        with suppress(OSError, ValueError, KeyError):
            about = json.loads(path.read_text())
            caches.append(
                PixelCacheInfo(
                    folder=path.parent,
                    dataset_name=about["dataset"],
                    dataset_digest=about["digest"],
                    prepared=about["prepared"],
                    images=about["images"],
                    present=int((_read_checks(path.parent) != 0).sum()),
                    disk_bytes=_disk_bytes(path.parent),
                    used_at=path.stat().st_mtime,
                )
            )
    return sorted(caches, key=lambda cache: -cache.used_at)


def clear(dataset: str | None = None) -> int:
    """Removes the caches of a dataset, or all; returns the bytes freed. Running jobs go on."""
    caches = [cache for cache in list_caches() if dataset in (None, cache.dataset_name)]
    for cache in caches:
        shutil.rmtree(cache.folder, ignore_errors=True)
    return sum(cache.disk_bytes for cache in caches)


def _make_room(keep: Path, room: float) -> None:
    """Removes the least recently used caches until those other than `keep` fit in `room` bytes."""
    others = [cache for cache in list_caches() if cache.folder != keep]
    used = sum(cache.disk_bytes for cache in others)
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
    """The settings that decide the pixels before normalization."""
    plain = spec.to_dict()
    names = ("resize", "resize_mode", "crop", "interpolation", "resizer")
    return {name: plain[name] for name in names}


def _prepared(spec: PreprocessSpec) -> str:
    return ", ".join(spec.summary().split(", ")[:2])


def _read_checks(folder: Path) -> np.ndarray:
    """The checksums uint32 (images,) of a cache folder, 0 for missing images; empty if damaged."""
    try:
        return np.frombuffer((folder / "checks").read_bytes(), np.uint32)
    except (OSError, ValueError):
        return np.zeros(0, np.uint32)


def _disk_bytes(folder: Path) -> int:
    # File `pixels` is sparse where images are missing, so allocated blocks are counted.
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir() if path.is_file())
