"""File locks that the kernel frees when the last process holding them is gone.

A lock belongs to the open file description: a child that inherits the descriptor keeps the lock
even when its parent is killed, so it lasts exactly as long as the work it protects.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_S = 0.2


def try_lock(path: Path, *, exclusive: bool = True) -> int | None:
    """Takes the lock without waiting: an inheritable descriptor, or None when it is taken."""
    descriptor = _open(path)
    try:
        mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.set_inheritable(descriptor, True)
    return descriptor


def _open(path: Path) -> int:
    # The host lock is shared between users: a file that another user made is opened, not created.
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        os.fchmod(descriptor, 0o666)
        return descriptor


@contextmanager
def held(path: Path, *, exclusive: bool, wanted: Callable[[], bool]) -> Iterator[int | None]:
    """Waits for the lock as long as `wanted()`; yields its descriptor, or None if given up."""
    descriptor = try_lock(path, exclusive=exclusive)
    while descriptor is None and wanted():
        time.sleep(WAIT_S)
        descriptor = try_lock(path, exclusive=exclusive)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
