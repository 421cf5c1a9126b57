"""Atomic file writes; a full disk is reported in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.common.error_sentences import FULL, full_disk
from engine.errors import StorageFull

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def disk_full_as_error(folder: Path) -> Iterator[None]:
    """Raises StorageFull instead of the OSError of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFull(full_disk(folder)) from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path that replaces `path` at the end, unless the block failed.

    Creates the folder if needed. Raises StorageFull when the disk is full.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with disk_full_as_error(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def expand_user(path: str | Path) -> Path:
    """A path with ~ expanded; unchanged if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_file(path: Path) -> bool:
    """Whether an untrusted path is a file; False also for an impossible path."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, no permission, a NUL
        return False


def write_text(path: Path, text: str) -> None:
    """Writes a text file (UTF-8) atomically."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz file atomically."""
    import numpy as np

    with atomic_write(path) as part, part.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
