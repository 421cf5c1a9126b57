"""Ends a child process together with the process that supervises it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from functools import cache
from pathlib import Path

PR_SET_PDEATHSIG = 1
EXIT_NOT_RECORDED = os.EX_TEMPFAIL
"""Exit status of a job whose end the database did not take; the job is to be tried again."""


@cache
def attach() -> None:
    """Ties this process, and the group it leads, to its parent; call it as early as possible.

    The parent holds the other end of stdin: end of file means that the parent has exited. On
    Linux the kernel also kills this process, even while native code holds the interpreter.
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
    # Running out of memory should end the job, not the dashboard.
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return
