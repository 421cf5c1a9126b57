"""Files are written whole or not at all, and a full disk gets one sentence."""

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
def disk_space(folder: Path) -> Iterator[None]:
    """Turns a full disk into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFull(full_disk(folder)) from error


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


def expanded(path: str | Path) -> Path:
    """A path with its ~ expanded; as it is where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_file(path: Path) -> bool:
    """Whether a path that a user or a file gave is a file; no also for what no path can be."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, no permission, a NUL
        return False


def write_text(path: Path, text: str) -> None:
    """Writes a text file (UTF-8) whole or not at all."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes an npz file whole or not at all."""
    import numpy as np

    with whole(path) as part, part.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
