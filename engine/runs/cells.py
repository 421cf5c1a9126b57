"""The cells of a run: each precision in each runtime, and which of them are impossible, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from db.enums import Precision
from engine.catalog.models import find_model
from engine.common.files import expand_user
from engine.errors import WorkbenchError
from engine.export.file_check import FileCheck, check_onnx_file
from engine.runs.request import RunRequest, Task
from engine.runtimes import registry

MEASURED = frozenset({Task.BENCHMARK, Task.EVALUATE, Task.PROFILE})


@dataclass(frozen=True, slots=True)
class Cells:
    """`possible`: (precision, runtime) in order; `reasons`: why each other cell is left out.

    `precisions` are those that the run builds: without a measurement all that were requested, else
    those with a possible cell.
    """

    precisions: tuple[Precision, ...]
    possible: tuple[tuple[Precision, str], ...]
    reasons: dict[tuple[Precision, str], str]

    def runtimes_of(self, precision: Precision) -> tuple[str, ...]:
        """The runtimes in which a precision is measured."""
        return tuple(runtime for built, runtime in self.possible if built == precision)

    def left_out(self) -> Iterator[str]:
        """One sentence for each reason, with the cells that it leaves out."""
        by_reason: dict[str, list[str]] = {}
        for (precision, runtime), reason in self.reasons.items():
            by_reason.setdefault(reason, []).append(f"{precision} in {runtime}")
        for reason, cells in by_reason.items():
            yield f"Not measured: {', '.join(cells)}. {reason}"


def cells_of(request: RunRequest) -> Cells:
    """The cells of a request; an ONNX file is checked once, in a child process."""
    built = request.built_precisions
    if not MEASURED & set(request.tasks):
        return Cells(built, (), {})
    reasons: dict[tuple[Precision, str], str] = {}
    possible: list[tuple[Precision, str]] = []
    for precision in built:
        for runtime in request.runtimes:
            reason = why_not_measured(request, precision, runtime)
            if reason is None:
                possible.append((precision, runtime))
            else:
                reasons[precision, runtime] = reason
    with_cell = {precision for precision, _ in possible}
    return Cells(tuple(p for p in built if p in with_cell), tuple(possible), reasons)


def why_not_measured(request: RunRequest, precision: Precision, runtime: str) -> str | None:
    """Why a precision of this request cannot be measured in a runtime; None where it can."""
    reason = registry.why_not(runtime, precision, request.provider)
    reason = reason or _without_its_file(request, runtime)
    return reason or file_check(request).lacking.get(runtime)


def file_check(request: RunRequest) -> FileCheck:
    """What is found in the ONNX file of a request; without one, nothing."""
    path = request.weights.path
    if path is None or not request.model_id.startswith("onnx/"):
        return FileCheck()
    return check_onnx_file(expand_user(path), request.runtimes)


def needs_torchscript(runtime: str) -> bool:
    """Whether a runtime loads the TorchScript form of the export."""
    return registry.runtime_of(runtime).file != "model.onnx"


def _without_its_file(request: RunRequest, runtime: str) -> str | None:
    """Why the export has no TorchScript form for a runtime that loads it; None where it has."""
    if not needs_torchscript(runtime):
        return None
    try:
        onnx_only = find_model(request.model_id).source == "onnx"
    except WorkbenchError:  # reported as a problem
        return None
    way_out = "choose another runtime."
    if onnx_only:
        return f"{request.model_id} came as ONNX, so there is no torch form of it: {way_out}"
    if request.via == "paddle2onnx":
        return f"An export by paddle2onnx has no torch form: {way_out}"
    if request.softmax:
        return f"The torch form has no appended softmax: {way_out}"
    return None
