"""Makes sure that a child never outlives the process that watches it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from functools import cache
from pathlib import Path

PR_SET_PDEATHSIG = 1
UNRECORDED = os.EX_TEMPFAIL
"""Exit status of a job whose end the database did not take; the job is to be tried again."""


@cache
def hold() -> None:
    """Ties this process, and the group it leads, to its parent; once, and as early as can be.

    The parent holds the other end of our stdin: its end means that the parent is gone. On Linux
    the kernel also kills us itself, which works while native code holds the interpreter.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _volunteer_for_the_oom_killer()
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    # os.read, not sys.stdin: a thread inside a buffered reader would hold its lock at exit.
    while os.read(0, 64):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _volunteer_for_the_oom_killer() -> None:
    # Memory running out should end the job, not the dashboard.
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return
