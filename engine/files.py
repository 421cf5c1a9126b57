"""Files are written whole or not at all, and a full disk gets one sentence."""

from __future__ import annotations

import os
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


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Another path to write to, which takes the place of `path` at the end unless that failed.

    Makes its folder where that is missing. Raises StorageFull when the disk is full.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with disk_space(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file (UTF-8) whole or not at all."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz file whole or not at all."""
    with whole(path) as part, part.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _means_full(error: OSError) -> bool:
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT)
