"""What a user asks for in one go, as validated data, and the settings of its benchmarks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator

from db.enums import Precision
from engine.common.untrusted import MAX_CLASSES, MAX_INTEGER
from engine.config import settings
from engine.specs import (
    CALIBRATION_IMAGES,
    CPU_PROVIDER,
    PERCENTILE,
    CalibrationMode,
    ExportFormat,
    ExportRoute,
    MeasuredSpec,
    Scenario,
    TargetName,
    WeightsSpec,
)
from engine.specs.datasets import BUILTIN_CALIBRATION, BUILTIN_DATASETS
from engine.specs.precisions import in_order

Batch = Annotated[int, Field(ge=1, le=4096)]
Threads = Annotated[int, Field(ge=0, le=1024)]
Instances = Annotated[int, Field(ge=1, le=256)]


class Task(StrEnum):
    """What a run may be asked to do; a build implies the export, a measurement the build."""

    EXPORT = "export"
    BUILD = "build"
    BENCHMARK = "benchmark"
    EVALUATE = "evaluate"
    PROFILE = "profile"


USUAL_TASKS = (Task.EXPORT, Task.BUILD, Task.BENCHMARK, Task.EVALUATE)


class RunRequest(MeasuredSpec):
    """A model with its weights, at some precisions, with some tasks.

    `preprocess` is the export's, and so that of all that is made of it; `evaluation_preprocess`
    is another one for the evaluations alone. Each build is benchmarked at every combination of
    `batches`, `instances` and `threads`, in one `scenario`, and profiled at the first of each.
    """

    model_id: str
    weights: WeightsSpec = WeightsSpec()
    precisions: tuple[Precision, ...] = Field(default_factory=in_order)
    tasks: tuple[Task, ...] = USUAL_TASKS
    dataset: str | None = None
    limit: int | None = Field(None, ge=1, le=MAX_INTEGER)
    calibration_dataset: str | None = None
    calibration_images: int = Field(CALIBRATION_IMAGES, ge=1, le=50_000)
    calibration_mode: CalibrationMode = CalibrationMode.MSE
    calibration_percentile: float = Field(PERCENTILE, gt=50, le=100)
    keep_in_float: tuple[int, ...] = ()
    max_drop: float | None = Field(None, gt=0, le=100)
    target: TargetName = TargetName.AUTO
    softmax: bool = False
    batches: tuple[Batch, ...] = (1,)
    threads: tuple[Threads, ...] = (0,)
    instances: tuple[Instances, ...] = (1,)
    scenario: Scenario = Scenario.CLOSED_LOOP
    rate_per_s: float | None = Field(None, gt=0)
    limit_ms: float | None = Field(None, gt=0)
    arrivals_seed: int = Field(0, ge=0, le=MAX_INTEGER)
    again: bool = Field(False, description="measure points of a sweep that were measured before")
    provider: str = CPU_PROVIDER
    preprocess: dict[str, Any] | None = None
    background: int | None = Field(None, ge=0, le=MAX_CLASSES)
    output: str | None = Field(None, description="of an ONNX file of several: the scores")
    classes: tuple[int, ...] = Field(
        (), description="that fit the dataset: scores are found by them; filled in when queued"
    )
    format: ExportFormat = "onnx"
    via: ExportRoute = "torch"
    evaluation_preprocess: dict[str, Any] | None = None
    benchmark_max_s: float = Field(30.0, gt=0, le=3600)

    @field_validator("threads", "instances", mode="before")
    @classmethod
    def _one_is_a_choice_of_one(cls, value: Any) -> Any:
        """Requests of before there were sweeps hold a single number."""
        return (value,) if isinstance(value, int) else value

    @property
    def calibration_set(self) -> str:
        """Where int8 ranges come from: as asked, else the demo's own set, else the evaluation set.

        With no dataset at all, drawn images serve: right for speed, poor for accuracy.
        """
        if self.calibration_dataset:
            return self.calibration_dataset
        if self.dataset and self.dataset not in BUILTIN_DATASETS:
            return self.dataset
        return BUILTIN_CALIBRATION

    @property
    def range_check_set(self) -> str | None:
        """What fp16 is range-checked on: as int8 is calibrated, where the run names a dataset."""
        return self.calibration_set if self.calibration_dataset or self.dataset else None

    @property
    def built(self) -> tuple[Precision, ...]:
        """The precisions that the run builds; none where it only exports."""
        return self.precisions if set(self.tasks) - {Task.EXPORT} else ()

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of all that the run looks at, each once: to evaluate, calibrate, check ranges."""
        looked_at = [self.dataset if Task.EVALUATE in self.tasks else None]
        looked_at += [self.images_for(precision) for precision in self.built]
        return tuple(dict.fromkeys(filter(None, looked_at)))

    def images_for(self, precision: Precision) -> str | None:
        """Name of the dataset that the build of a precision looks at; None where it needs none."""
        return getattr(self, _IMAGES[precision]) if precision in _IMAGES else None


_IMAGES = {Precision.INT8: "calibration_set", Precision.FP16: "range_check_set"}


DEMO = RunRequest(
    model_id="demo/senet",
    dataset="demo",
    calibration_dataset=BUILTIN_CALIBRATION,
    calibration_images=256,
    benchmark_max_s=10,
)


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of a sweep; `threads` 0 means all cores, shared out among the instances."""

    batch: int
    instances: int
    threads: int

    def threads_on(self, cores: int) -> int:
        """Threads of each instance on so many cores."""
        return self.threads or max(1, cores // self.instances)


def points_of(request: RunRequest, cores: int | None = None) -> tuple[Point, ...]:
    """Batch x instances x threads, in the order of measuring; equal ones are measured once."""
    cores = cores or settings().threads
    found: dict[tuple[int, int, int], Point] = {}
    for values in itertools.product(request.threads, request.instances, request.batches):
        point = Point(batch=values[2], instances=values[1], threads=values[0])
        found.setdefault((point.batch, point.instances, point.threads_on(cores)), point)
    return tuple(found.values())


def is_sweep(request: RunRequest) -> bool:
    """Whether each build is measured at more than one setting."""
    return len(points_of(request)) > 1
