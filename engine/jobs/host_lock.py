"""The lock of the machine: who holds it alone, and giving it up for a while.

Benchmarks hold the lock alone, other jobs share it. Whoever takes it alone writes a note into the
lock file, so that another workbench on this machine can tell what it waits for. A job's child
process inherits the descriptor; unlocking it there also unlocks it for the supervisor, because a
lock belongs to the open file description.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.hosts import home

DESCRIPTOR = "SENET_HOST_LOCK_DESCRIPTOR"
"""Environment variable of a job's process: the number of the inherited descriptor."""
MAX_NOTE_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the machine alone: kind of the job, since when (s since 1970), home's identity."""

    kind: str
    since: float
    home: str


def announce(descriptor: int, kind: str) -> None:
    """Writes into the lock file who holds it alone; nothing where the file is another user's."""
    own = home.load()
    facts = {"kind": kind, "since": time.time(), "home": own.identity if own else ""}
    note = json.dumps({**facts, "pid": os.getpid()}).encode()
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note, 0)


def holder(path: Path) -> Holder | None:
    """What the note in the lock file says; None without a note of a process that still runs.

    It is meaningful only while the lock is held alone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        note = json.loads(os.pread(descriptor, MAX_NOTE_BYTES, 0))
        found = Holder(str(note["kind"])[:30], float(note["since"]), str(note["home"])[:36])
        # A note without a living process is older than the lock, or of another container.
        return found if psutil.pid_exists(int(note["pid"])) else None
    except (OSError, ValueError, OverflowError, TypeError, KeyError):
        return None
    finally:
        os.close(descriptor)


def inherited() -> int | None:
    """The descriptor of the lock in the child process of a job; None elsewhere."""
    text = os.environ.get(DESCRIPTOR, "")
    return int(text) if text.isascii() and text.isdigit() else None


def release(descriptor: int) -> None:
    """Gives the lock up; the descriptor stays open, so that it can be taken again."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def take_alone(descriptor: int, kind: str) -> bool:
    """Takes the lock alone if it is free; False if another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    announce(descriptor, kind)
    return True
