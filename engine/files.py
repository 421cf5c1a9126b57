"""Files are written whole or not at all, and a full disk gets one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from engine.config import settings
from engine.errors import StorageFull


@contextmanager
def disk_space(folder: Path) -> Iterator[None]:
    """Turns a full disk into one sentence."""
    try:
        yield
    except OSError as error:
        if not _means_full(error):
            raise
        free_mb = shutil.disk_usage(folder if folder.exists() else "/").free / 1e6
        raise StorageFull(
            f"The disk is full ({free_mb:.0f} MB free): nothing half-written was kept. "
            f"Free some space under {settings().home} and retry."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes a small file; StorageFull instead of a bare OSError when the disk is full."""
    with disk_space(path.parent):
        path.write_text(text)


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz file whole or not at all."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        with disk_space(path.parent), temporary.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _means_full(error: OSError) -> bool:
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT)
