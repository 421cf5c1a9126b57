"""The comparison of the builds of a run with fp32 of the same model: what it measures, and where.

Whether int8, fp16 or bf16 is faster than fp32 on a machine is measured, in one session with fp32,
after the builds. It is no part of a build or of its time.
"""

from __future__ import annotations

from dataclasses import dataclass

from db.enums import Precision
from engine.runs.cells import Cells, why_not_measured
from engine.runs.request import Point, RunRequest, Task, benchmark_points
from engine.specs import Scenario

POINT = Point(batch=1, instances=1, threads=0)
"""Batch 1, one request in flight, all cores."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`cells`: the (precision, runtime) to measure at `point`, fp32 first in each runtime.

    `joined`: they belong to the session of the requested benchmarks; otherwise they have their own.
    """

    cells: tuple[tuple[Precision, str], ...]
    point: Point
    joined: bool

    @property
    def compared(self) -> tuple[Precision, ...]:
        """The precisions that are compared with fp32."""
        return tuple(dict.fromkeys(p for p, _ in self.cells if p != Precision.FP32))


def comparison_of(request: RunRequest, cells: Cells) -> Comparison | None:
    """The comparison that a request adds to its benchmarks; None where it adds none.

    None too where the request already measures these precisions together with fp32. Reads no file
    and imports no runtime.
    """
    lower = [p for p in cells.precisions if p != Precision.FP32]
    if not request.compare_fp32 or not lower:
        return None
    joined = Task.BENCHMARK in request.tasks and request.scenario == Scenario.CLOSED_LOOP
    measured = set(cells.possible) if joined else set()
    wanted: list[tuple[Precision, str]] = []
    for runtime in request.runtimes:
        together = [(p, runtime) for p in (Precision.FP32, *lower)]
        possible = [cell for cell in together if why_not_measured(request, *cell) is None]
        if (Precision.FP32, runtime) in measured or together[0] not in possible:
            continue
        wanted += possible if len(possible) > 1 else []
    if not wanted:
        return None
    points = benchmark_points(request) if joined else ()
    single = (point for point in points if point.batch == POINT.batch)
    return Comparison(tuple(wanted), next(single, POINT), joined)
