"""The stages of an int8 build: how long each took, and the progress over all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from engine.store.int8_report import StageSeconds


class Stage(StrEnum):
    """A stage of an int8 build, as stored and shown."""

    IMAGES = "Reading images"
    STATISTICS = "Collecting statistics"
    EQUALIZATION = "Equalizing channels"
    RANGES = "Choosing ranges"
    SENSITIVITY = "Sensitivity analysis"
    SEARCH = "Evaluating candidates"
    WRITING = "Writing int8"
    BIASES = "Correcting biases"
    GROUPS = "Merging groups"
    REPORT = "Analyzing layers"
    COMPARISON = "Comparing classes"


@dataclass(slots=True)
class StageTimes:
    """Seconds by stage; a stage within another counts for itself only, not for the outer one."""

    _seconds: dict[Stage, list[float]] = field(default_factory=dict)
    _open: list[list[float]] = field(default_factory=list)

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Adds the time of a `with` block to a stage."""
        inner = [0.0, 0.0]
        self._open.append(inner)
        started = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            spent = time.perf_counter() - started[0], time.process_time() - started[1]
            self._open.pop()
            sums = self._seconds.setdefault(stage, [0.0, 0.0])
            for kind in range(2):
                sums[kind] += spent[kind] - inner[kind]
                if self._open:
                    self._open[-1][kind] += spent[kind]

    def facts(self) -> list[StageSeconds]:
        """The stages in the order of their first end, for the report."""
        return [
            StageSeconds(stage=stage, seconds=round(wall, 2), processor_seconds=round(processor, 2))
            for stage, (wall, processor) in self._seconds.items()
        ]


@dataclass(slots=True)
class BuildProgress:
    """One count over all stages, so that the time left is that of the build.

    The unit is one image through the network, which costs about the same in every stage.
    `expected`: stage -> number of inferences, in the order of the stages. `report` takes (done,
    total, unit, message).
    """

    report: Callable[[int, int, str, str], None]
    expected: dict[Stage, int]
    _done: int = 0

    def update(self, stage: Stage, share: float) -> None:
        """Reports that a `share` (0 to 1) of a stage is done; earlier stages then are over."""
        before = 0
        for name, inferences in self.expected.items():
            if name == stage:
                break
            before += inferences
        self._done = max(self._done, before + round(share * self.expected.get(stage, 0)))
        total = max(sum(self.expected.values()), 1)
        self.report(self._done, total, "inferences", stage)
