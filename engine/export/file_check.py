"""Checks an ONNX file before anything is queued, in a child process: can it be imported and run?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from engine.errors import ChildFailed, WorkbenchError
from engine.jobs.warm_child import WarmChild

LIMIT_S = 60.0
child = WarmChild("engine.export.file_check_process:HANDLERS", "onnx_files", idle_s=120.0)


@dataclass(frozen=True, slots=True)
class FileCheck:
    """`problem`: why a file cannot be imported; None if it can, or if the check failed.

    `lacking`: why a runtime cannot run its operators, by the name of the runtime.
    """

    problem: str | None = None
    lacking: dict[str, str] = field(default_factory=dict)


def check_onnx_file(path: Path, runtimes: Iterable[str]) -> FileCheck:
    """The check of a file for these runtimes, cached while the file is unchanged.

    A file that does not exist has no findings. The check does not replace that of the import,
    which runs the model.
    """
    try:
        state = path.stat()
    except (OSError, ValueError):  # no file, or an impossible path
        return FileCheck()
    return _check(str(path.absolute()), tuple(runtimes), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _check(path: str, runtimes: tuple[str, ...], mtime_ns: int, size: int) -> FileCheck:
    try:
        answer = child.ask("check", LIMIT_S, {"path": path, "runtimes": list(runtimes)})
    except ChildFailed:  # the import names what is wrong, with more time
        return FileCheck()
    except WorkbenchError as error:
        return FileCheck(str(error))
    return FileCheck(None, answer.facts["lacking"])
