"""The job worker with kinds that misbehave on purpose; started as a real child process."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from db.models import Run
from db.session import writing
from engine import worker
from engine.errors import ExportFailed
from engine.jobs.context import JobContext
from engine.worker import HANDLERS

Params = dict[str, Any]


def sleep(params: Params, context: JobContext) -> Params:
    """Reports progress every tenth of a second."""
    total = round(params["seconds"] * 10)
    for done in range(total):
        context.progress(done, total, "ticks")
        time.sleep(0.1)
    return {"slept_s": params["seconds"]}


def stamp(params: Params, context: JobContext) -> Params:
    """Appends when it began and ended to a file, on a clock all processes share.

    With `meets`, it waits until the job of that name has begun, 45 s at most.
    """
    begun = time.monotonic()
    file = Path(params["file"])
    if "meets" in params:
        file.with_name(f"{params['name']} began").touch()
        other = file.with_name(f"{params['meets']} began")
        while not other.exists() and time.monotonic() < begun + 45:
            time.sleep(0.05)
    time.sleep(params.get("seconds", 0.5))
    with file.open("a") as stream:
        stream.write(f"{params['name']} {begun} {time.monotonic()}\n")
    return {}


def fail(params: Params, context: JobContext) -> Params:
    """Raises an error that nobody expected."""
    raise KeyError("no such thing")


def refuse(params: Params, context: JobContext) -> Params:
    """Raises an error written for the user."""
    raise ExportFailed("The export does not compute what the model does.")


def crash(params: Params, context: JobContext) -> Params:
    """Dies by a signal, always or in its first attempts."""
    if context.attempt <= params.get("times", 99):
        os.kill(os.getpid(), getattr(signal, params["signal"]))
    return {"attempt": context.attempt}


def hog(params: Params, context: JobContext) -> Params:
    """Asks for more memory than it may have."""
    limit = 2 << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return {"bytes": len(bytearray(limit))}


def hold_interpreter(params: Params, context: JobContext) -> Params:
    """A native call that holds the interpreter lock: no Python thread of the child can run."""
    ctypes.PyDLL(None).sleep(60)
    return {}


def parent(params: Params, context: JobContext) -> Params:
    """Starts a process of its own and waits for it."""
    child = subprocess.Popen(["sleep", "60"])
    Path(params["file"]).write_text(str(child.pid))
    (context.workspace / "half-written").write_text("x")
    child.wait()
    return {}


def vanish(params: Params, context: JobContext) -> Params:
    """Ends without a word."""
    os._exit(3)


def record(params: Params, context: JobContext) -> Params:
    """Writes a row of its own after a while."""
    time.sleep(params["after_s"])
    with writing(context.url) as session:
        session.add(Run(title="of a job", request={}))
    return {}


def unavailable(params: Params, context: JobContext) -> Params:
    """The database fails its first attempts."""
    if context.attempt <= params["times"]:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise OperationalError("BEGIN IMMEDIATE", {}, error)
    return {}


def leave_temporary(params: Params, context: JobContext) -> Params:
    """Leaves a temporary file behind."""
    descriptor, path = tempfile.mkstemp()
    os.close(descriptor)
    return {"path": path}


def chatter(params: Params, context: JobContext) -> Params:
    """Writes to its log."""
    context.say("The first line.")
    print("plain output")
    return {}


for function in (
    sleep,
    stamp,
    fail,
    refuse,
    crash,
    hog,
    hold_interpreter,
    parent,
    vanish,
    chatter,
    record,
    unavailable,
    leave_temporary,
):
    HANDLERS[function.__name__] = f"tests.support.worker_for_tests:{function.__name__}"

if __name__ == "__main__":
    worker.main(int(sys.argv[1]), int(sys.argv[2]))
