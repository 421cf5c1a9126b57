"""What the child of the tests answers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from engine.errors import ImageRejected
from engine.jobs.messages import Message, pack_arrays, unpack_arrays

_kept: list[bytes] = []
_counted: list[bytes] = []


def hold(request: Message) -> Message:
    """Makes the file `begun`, and is done when `until` is there."""
    Path(request.facts["begun"]).touch()
    while not Path(request.facts["until"]).exists():
        time.sleep(0.01)
    return Message({"held": True})


def echo(request: Message) -> Message:
    return Message({"pid": os.getpid(), "value": request.facts["value"]}, request.blocks)


def count(request: Message) -> Message:
    """How often this was asked of this process."""
    _counted.append(b"")
    return Message({"calls": len(_counted)})


def doubled(request: Message) -> Message:
    return Message({}, pack_arrays([2 * array for array in unpack_arrays(request.blocks)]))


def refuse(request: Message) -> Message:
    raise ImageRejected("cat.png is empty.")


def fail(request: Message) -> Message:
    raise ValueError("no such thing")


def die(request: Message) -> Message:
    os.kill(os.getpid(), signal.Signals[request.facts["by"]])
    raise AssertionError


def leave(request: Message) -> Message:
    os._exit(3)


def never(request: Message) -> Message:
    while True:
        time.sleep(1)


def swell(request: Message) -> Message:
    while True:
        _kept.append(np.ones(8_000_000).tobytes())


HANDLERS = {
    "echo": echo,
    "hold": hold,
    "count": count,
    "doubled": doubled,
    "refuse": refuse,
    "fail": fail,
    "die": die,
    "leave": leave,
    "never": never,
    "swell": swell,
}
