"""The home as a cache of the shared store: what was not used for longest makes room.

Only what the store has is removed, and nothing that a running job may use. Without SENET_STORE
nothing is removed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select

from db.enums import JobStatus
from db.models import Job
from db.session import reading
from engine.common.digests import file_digest
from engine.config import settings
from engine.store.objects import ObjectStore, shared_store
from engine.store.shared import FILES

KEPT_S = 60.0
"""What was used in the last KEPT_S is kept, whatever uses it."""


def trim(url: str) -> list[Path]:
    """Removes the least recently used files and artifacts above SENET_STORE_CACHE_GB.

    Returns what was removed. Raises StoreUnavailable.
    """
    store = shared_store()
    if store is None:
        return []
    held = [(path.stat().st_mtime, _bytes_of(path), path) for path in _held()]
    used, limit = sum(size for _, size, _ in held), settings().store_cache_gb * 1e9
    if used <= limit:
        return []
    begun, removed = _in_use_since(url), []
    for used_at, size, path in sorted(held):
        if used <= limit or used_at >= begun:
            break
        if _is_stored(store, path):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            removed.append(path)
            used -= size
    return removed


def _held() -> Iterator[Path]:
    """The artifacts and the files of results in the home."""
    home = settings().home
    if (home / "artifacts").is_dir():
        yield from (path for path in (home / "artifacts").iterdir() if path.is_dir())
    yield from (home / "results").glob("*.npz")


def _in_use_since(url: str) -> float:
    """The start of the oldest running job: it uses nothing that was last used before it."""
    with reading(url) as session:
        begun = session.scalar(
            select(func.min(Job.started_at)).where(Job.status == JobStatus.RUNNING)
        )
    recently = time.time() - KEPT_S
    return recently if begun is None else min(begun, recently)


def _is_stored(store: ObjectStore, path: Path) -> bool:
    """Whether the store has the same content."""
    name = path.relative_to(settings().home).as_posix()
    if path.is_file():
        return store.exists(f"{name}/{file_digest(path)}")
    sizes = {one.name.rpartition("/")[2]: one.size for one in store.files(name)}
    own = {file.name: file.stat().st_size for file in path.iterdir()}
    return FILES in sizes and all(sizes.get(file) == size for file, size in own.items())


def _bytes_of(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
