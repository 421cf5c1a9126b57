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
class FileFacts:
    """What a file declares. `input` and `outputs` are phrases; `parameters` counts its weights.

    `batch` is None where any batch size is accepted, `classes` where no single output of scores
    declares their number.
    """

    opset: int
    producer: str
    input: str
    batch: int | None
    outputs: tuple[str, ...]
    classes: int | None
    parameters: int

    def sentence(self) -> str:
        """`opset 17, input NCHW 3 x 224 x 224 float32, any batch size, 1,000 outputs ...`."""
        batch = "any batch size" if self.batch is None else f"batch size {self.batch}"
        scores = (
            f"{self.classes:,} scores" if self.classes else f"outputs {', '.join(self.outputs)}"
        )
        origin = f", written by {self.producer}" if self.producer else ""
        return (
            f"ONNX opset {self.opset}, input {self.input}, {batch}, {scores}, "
            f"{self.parameters / 1e6:.1f} M parameters{origin}."
        )


@dataclass(frozen=True, slots=True)
class FileCheck:
    """`problem`: why a file cannot be imported; None if it can, or if the check failed.

    `lacking`: why a runtime cannot run its operators, by the name of the runtime. `facts`: what it
    declares; None where the check failed.
    """

    problem: str | None = None
    lacking: dict[str, str] = field(default_factory=dict)
    facts: FileFacts | None = None


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
    declared = answer.facts.get("declared")
    facts = FileFacts(**{**declared, "outputs": tuple(declared["outputs"])}) if declared else None
    return FileCheck(None, answer.facts["lacking"], facts)
