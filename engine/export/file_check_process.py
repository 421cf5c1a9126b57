"""The handler of the child process of `file_check`."""

from __future__ import annotations

from pathlib import Path

from engine.export.onnx_reading import load_onnx
from engine.jobs.messages import Message
from engine.runtimes.registry import RUNTIMES, runtime_of


def check(request: Message) -> Message:
    """Why runtimes cannot run the operators of a file; raises the errors of `load_onnx`."""
    path = Path(request.facts["path"])
    load_onnx(path)
    known = [name for name in request.facts["runtimes"] if name in RUNTIMES]
    reasons = {name: runtime_of(name).lacks(path) for name in known}
    return Message({"lacking": {name: why for name, why in reasons.items() if why is not None}})


HANDLERS = {"check": check}
