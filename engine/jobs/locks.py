"""File locks that the kernel releases when the last process holding them has exited.

A lock belongs to the open file description: a child that inherits the descriptor keeps the lock
even when its parent is killed, so it lasts exactly as long as the work it protects.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.config import PRIVATE, PRIVATE_FILE

WAIT_S = 0.2
SHARED_MODE = 0o644
"""Mode of the lock file that all users of a machine share: read permission allows locking."""


def try_lock(path: Path, *, exclusive: bool = True, mode: int = PRIVATE_FILE) -> int | None:
    """Tries to take the lock; returns an inheritable descriptor, or None if it is taken."""
    descriptor = _open(path, mode)
    try:
        mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.set_inheritable(descriptor, True)
    return descriptor


def is_locked(path: Path, *, shared: bool) -> bool:
    """Whether another process keeps a job from the lock of the machine, shared or alone."""
    descriptor = try_lock(path, exclusive=not shared, mode=SHARED_MODE)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _open(path: Path, mode: int) -> int:
    # Never follow links: in a shared folder a link could point to another user's file.
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != mode:
        os.fchmod(descriptor, mode)
    return descriptor


@contextmanager
def acquire(path: Path, *, exclusive: bool, wanted: Callable[[], bool]) -> Iterator[int | None]:
    """Waits for a shared lock while `wanted()` is true; yields its descriptor, or None."""
    descriptor = try_lock(path, exclusive=exclusive, mode=SHARED_MODE)
    while descriptor is None and wanted():
        time.sleep(WAIT_S)
        descriptor = try_lock(path, exclusive=exclusive, mode=SHARED_MODE)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
